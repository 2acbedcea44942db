using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>A request's place in its model's queue, kept when a backend dies under it: it goes back to where it was, not to the end.</summary>
internal sealed class QueueTicket(InferenceRequest request)
{
    public InferenceRequest Request { get; } = request;

    /// <summary>Living backends that failed it: the next try goes to another one, as long as there is one that takes work.</summary>
    public List<Backend> Failed { get; } = [];

    /// <summary>Order of arrival; 0 until the first time in the queue.</summary>
    public long Number { get; internal set; }

    /// <summary>Waited so far while a backend was ready, and while none was.</summary>
    public TimeSpan WaitedReady { get; internal set; }

    public TimeSpan WaitedComing { get; internal set; }

    /// <summary>Waited in all.</summary>
    public TimeSpan Waited => WaitedReady + WaitedComing;
}
