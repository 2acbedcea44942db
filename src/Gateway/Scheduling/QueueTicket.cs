using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Keys;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>A request's place in its model's queue, kept when a backend dies under it: it goes back to where it was, not to the end.</summary>
/// <remarks>Disposing it settles what the request took of its key's limits and of the retry budget.</remarks>
internal sealed class QueueTicket(InferenceRequest request) : IDisposable
{
    /// <summary>What is shorter is read again as fast as it is looked for.</summary>
    private const int LeastPrefix = 1024;

    private List<Backend>? _failed;

    public InferenceRequest Request { get; } = request;

    /// <summary>True when the client has its first tokens already and waits for the rest of a stream that broke.</summary>
    public bool IsContinued { get; set; }

    /// <summary>The client's own limit to the first token, while that is still to come.</summary>
    public TimeSpan? FirstTokenWithin => IsContinued ? null : Request.FirstTokenWithin;

    /// <summary>Order of arrival; 0 until the first time in the queue.</summary>
    public long Number { get; internal set; }

    /// <summary>Waited so far while a backend was ready, and while none was.</summary>
    public TimeSpan WaitedReady { get; internal set; }

    public TimeSpan WaitedComing { get; internal set; }

    /// <summary>Waited in all.</summary>
    public TimeSpan Waited => WaitedReady + WaitedComing;

    /// <summary>True when the request's work was done, or was the client's own fault: then it counts against the key's limits.</summary>
    public bool IsServed { get; set; }

    /// <summary>Tokens that answers said they cost, prompt and completion; null while none did.</summary>
    internal double? Spent { get; set; }

    /// <summary>What it took of its key's limits.</summary>
    internal KeyLimits.Pass Pass { get; set; } = KeyLimits.Pass.Free;

    /// <summary>What is given back when it has ended, if it is being tried again.</summary>
    internal Action? EndRetry { get; set; }

    /// <summary>True when a server may have read its prompt's beginning.</summary>
    internal bool HasPrefix { get; } = request.Session != 0 || (request.Prefix is [.., var last] && last.Bytes >= LeastPrefix);

    /// <summary>Bytes of the prompt that a server must have read to be worth going to: 1 KiB, and three tenths of it.</summary>
    internal int LeastMatch { get; } = Math.Max(LeastPrefix, request.Body.Length * 3 / 10);

    /// <summary>Times that another one took a slot before it although it was first.</summary>
    internal int Overtaken { get; set; }

    /// <summary>Tokens of the prompt, estimated.</summary>
    internal double Prompt { get; set; }

    /// <summary>What it will cost, estimated when it came; see <see cref="Order.TokenCost"/>.</summary>
    internal double Cost { get; set; }

    /// <summary>True when a living backend has failed it: the next try goes to another one, as long as there is one that takes work.</summary>
    internal bool HasFailed => _failed is not null;

    /// <summary>Notes that a living backend failed it.</summary>
    public void FailedOn(Backend backend) => (_failed ??= []).Add(backend);

    public void Dispose()
    {
        Pass.Settle(IsServed, Spent);
        Pass = KeyLimits.Pass.Free;
        EndRetry?.Invoke();
        EndRetry = null;
    }

    internal bool FailedBy(Backend backend) => _failed?.Contains(backend) == true;
}
