using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using Yarp.ReverseProxy.Forwarder;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Carries an attempt's request to its backend, and the answer to the client.</summary>
internal interface IAttemptForwarder
{
    /// <summary>Never throws for what a client or a backend does. A client's answer that has begun and could not be ended is cut.</summary>
    ValueTask<ForwardEnd> SendAsync(HttpContext context, Attempt attempt);
}

/// <summary>What a forwarder knows of an attempt's end.</summary>
/// <param name="IsClientGone">The client could not be written to.</param>
/// <param name="Fault">What went wrong, or null.</param>
internal readonly record struct ForwardEnd(bool IsClientGone, Exception? Fault);

/// <summary>Who carries requests to a backend: the gateway's own lean client, or YARP, for what needs TLS or where the configuration says so.</summary>
internal sealed class AttemptForwarders(IHttpForwarder yarp, BackendInvokers invokers, LiveCatalogue live, TimeProvider time)
{
    private readonly YarpForwarder _yarp = new(yarp, invokers);
    private readonly LeanForwarder _lean = new(time);

    public IAttemptForwarder For(Backend backend) => live.Options.Gateway.Relay == RelayKind.Yarp || backend.Address.BaseUri.Scheme == Uri.UriSchemeHttps ? _yarp : _lean;
}
