using System.Net;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Stands in for the backend's content, so that the forwarder reads the relay.</summary>
internal sealed class RelayContent(RelayStream relay, HttpContent original) : HttpContent
{
    protected override Task<Stream> CreateContentReadStreamAsync() => Task.FromResult<Stream>(relay);

    protected override Stream CreateContentReadStream(CancellationToken cancellationToken) => relay;

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => relay.CopyToAsync(stream);

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            relay.Dispose();
            original.Dispose();
        }

        base.Dispose(disposing);
    }
}
