namespace LlmGateway.Gateway.Scheduling.Breaking;

/// <summary>Why a request goes back to its place in the queue.</summary>
internal enum RetryReason
{
    /// <summary>The backend died under it: at no cost to the request or to any budget.</summary>
    Death,

    /// <summary>The backend took no connection: at no cost either.</summary>
    Unreachable,

    /// <summary>The backend was still loading: at no cost either.</summary>
    Loading,

    /// <summary>A living backend failed it: one of <c>Retry:MaxAttempts</c>, within the budget.</summary>
    Failed,
}

/// <summary>How many requests may be tried again at once: a share of those that run, so that failures don't double the load that causes them. Pure.</summary>
internal static class RetryBudget
{
    /// <summary>These are always allowed: a share of few would be none.</summary>
    private const int Least = 3;

    /// <param name="retrying">Requests that are being tried again.</param>
    /// <param name="running">Requests that hold slots.</param>
    /// <param name="ratio">The share.</param>
    public static bool Allows(int retrying, int running, double ratio) => ratio > 0 && retrying < Math.Max(Least, ratio * running);
}
