using System.Threading.Channels;

namespace LlmGateway.Gateway.Tests.Forwarding;

/// <summary>A backend's answer, piece by piece, as a test says.</summary>
internal sealed class ScriptStream : Stream
{
    private readonly Channel<byte[]> _pieces = Channel.CreateUnbounded<byte[]>();
    private byte[] _rest = [];

    public bool IsDisposed { get; private set; }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>A stream whose pieces are all there, and which then ends or fails.</summary>
    public static ScriptStream Of(IEnumerable<byte[]> pieces, Exception? end = null)
    {
        var stream = new ScriptStream();
        foreach (var piece in pieces)
        {
            stream.Send(piece);
        }

        stream.End(end);
        return stream;
    }

    public void Send(params ReadOnlySpan<byte> piece) => _pieces.Writer.TryWrite(piece.ToArray());

    public void End(Exception? error = null) => _pieces.Writer.TryComplete(error);

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (_rest.Length == 0)
        {
            try
            {
                _rest = await _pieces.Reader.ReadAsync(cancellationToken);
            }
            catch (ChannelClosedException e)
            {
                return e.InnerException is null ? 0 : throw e.InnerException;
            }
        }

        var count = Math.Min(buffer.Length, _rest.Length);
        _rest.AsMemory(0, count).CopyTo(buffer);
        _rest = _rest[count..];
        return count;
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        IsDisposed = true;
        base.Dispose(disposing);
    }
}
