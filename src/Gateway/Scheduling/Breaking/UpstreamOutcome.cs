namespace LlmGateway.Gateway.Scheduling.Breaking;

/// <summary>What one use of a backend says about the backend.</summary>
internal enum UpstreamOutcome
{
    /// <summary>It served the request.</summary>
    Ok,

    /// <summary>The request was wrong, and the backend said so: a sign of health.</summary>
    Client,

    /// <summary>It was full or still loading: no fault, but no help either.</summary>
    Backpressure,

    /// <summary>It failed: no connection, a reset, a 5xx, no first token in time, a stream that broke off.</summary>
    Fault,

    /// <summary>Nothing was learnt: the client left, or the process was ended.</summary>
    Neutral,
}
