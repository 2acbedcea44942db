namespace LlmGateway.Gateway.Forwarding;

/// <summary>A continuation's bytes as events of the stream that it continues.</summary>
internal sealed class SplicedStream(Stream source, Splice splice) : ReadOnceStream
{
    private readonly RelayBuffer _in = new();
    private readonly RelayBuffer _out = new();

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (_out.Ready == 0)
        {
            var read = await source.ReadAsync(_in.Room(), cancellationToken);
            if (read == 0)
            {
                // Half an event, if there is one, is lost: whoever reads on learns that from the missing end.
                return 0;
            }

            _in.Add(read);
            while (EventFraming.NextEvent(_in.Held) is var length and > 0)
            {
                _out.Put(splice.Rewrite(_in.Held[..length]));
                _in.Release(length);
            }

            _in.DropReady();
            if (_in.Held.Length > EventWatch.LongestHeld)
            {
                throw new IOException("An event of the continuation is too long to be spliced.");
            }
        }

        return _out.Take(buffer.Span);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            source.Dispose();
            _in.Dispose();
            _out.Dispose();
        }

        base.Dispose(disposing);
    }
}
