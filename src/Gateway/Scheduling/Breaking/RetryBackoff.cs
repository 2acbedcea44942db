namespace LlmGateway.Gateway.Scheduling.Breaking;

/// <summary>How long a request that a living backend has failed waits before it is tried again: what made it fail may need a moment. Pure.</summary>
internal static class RetryBackoff
{
    private static readonly TimeSpan First = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(2);

    /// <param name="failures">Tries that failed, 1 or more: each doubles it.</param>
    /// <param name="random">0 to 1; by up to a half shorter or longer, so that what failed together does not come back together.</param>
    public static TimeSpan After(int failures, double random)
    {
        var wait = First * Math.Pow(2, Math.Min(failures, 16) - 1);
        return (wait < Longest ? wait : Longest) * (0.5 + random);
    }
}
