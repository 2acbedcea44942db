using Microsoft.AspNetCore.Http.Features;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>A status and headers that go nowhere: they stand in for a response that may have begun with comments before its backend is known.</summary>
/// <remarks>The forwarder sets a status as soon as a backend answers, and a response that has begun would throw.</remarks>
internal sealed class ResponseInWaiting(IHttpResponseFeature real) : IHttpResponseFeature
{
    public int StatusCode { get; set; } = StatusCodes.Status200OK;

    public string? ReasonPhrase { get; set; }

    public IHeaderDictionary Headers { get; set; } = new HeaderDictionary();

    [Obsolete("As in the interface: bodies go through IHttpResponseBodyFeature.")]
    public Stream Body
    {
        get => real.Body;
        set => real.Body = value;
    }

    /// <summary>True once the answer itself has begun; comments before it don't count.</summary>
    public bool HasStarted { get; set; }

    public void OnStarting(Func<object, Task> callback, object state) => real.OnStarting(callback, state);

    public void OnCompleted(Func<object, Task> callback, object state) => real.OnCompleted(callback, state);
}
