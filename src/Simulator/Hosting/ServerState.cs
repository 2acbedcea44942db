namespace LlmGateway.Simulator.Hosting;

/// <summary>What the process has seen so far.</summary>
internal sealed class ServerState
{
    private int _requests;
    private int _inFlight;
    private int _answered;
    private int _aborted;
    private int _connections;
    private volatile bool _ready;

    /// <summary>The model is loaded.</summary>
    public bool IsReady { get => _ready; set => _ready = value; }

    /// <summary>Inference requests received.</summary>
    public int Requests => Volatile.Read(ref _requests);

    /// <summary>Inference requests not yet left, the queued ones included.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Inference requests answered to their end.</summary>
    public int Answered => Volatile.Read(ref _answered);

    /// <summary>Inference requests given up because their client had gone.</summary>
    public int Aborted => Volatile.Read(ref _aborted);

    /// <summary>Open connections.</summary>
    public int Connections => Volatile.Read(ref _connections);

    public void Received()
    {
        Interlocked.Increment(ref _requests);
        Interlocked.Increment(ref _inFlight);
    }

    public void Left() => Interlocked.Decrement(ref _inFlight);

    /// <returns>How many that makes.</returns>
    public int Finished() => Interlocked.Increment(ref _answered);

    public void Abandoned() => Interlocked.Increment(ref _aborted);

    public void Connected() => Interlocked.Increment(ref _connections);

    public void Disconnected() => Interlocked.Decrement(ref _connections);
}
