using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>A request's place in its model's queue, kept when a backend dies under it: it goes back to where it was, not to the end.</summary>
internal sealed class QueueTicket(InferenceRequest request)
{
    private List<Backend>? _failed;

    public InferenceRequest Request { get; } = request;

    /// <summary>Order of arrival; 0 until the first time in the queue.</summary>
    public long Number { get; internal set; }

    /// <summary>Waited so far while a backend was ready, and while none was.</summary>
    public TimeSpan WaitedReady { get; internal set; }

    public TimeSpan WaitedComing { get; internal set; }

    /// <summary>Waited in all.</summary>
    public TimeSpan Waited => WaitedReady + WaitedComing;

    /// <summary>Tokens of the prompt, estimated.</summary>
    internal double Prompt { get; set; }

    /// <summary>What it will cost, estimated when it came; see <see cref="Order.TokenCost"/>.</summary>
    internal double Cost { get; set; }

    /// <summary>True when a living backend has failed it: the next try goes to another one, as long as there is one that takes work.</summary>
    internal bool HasFailed => _failed is not null;

    /// <summary>Notes that a living backend failed it.</summary>
    public void FailedOn(Backend backend) => (_failed ??= []).Add(backend);

    internal bool FailedBy(Backend backend) => _failed?.Contains(backend) == true;
}
