namespace LlmGateway.Gateway.Scheduling.Order;

/// <summary>Bands are strict, but not for ever: while a lower one starves, every tenth grant is its own. Values in, values out; guarded by the queue's lock.</summary>
internal struct StarvationGuard
{
    /// <summary>One grant in this many.</summary>
    private const int Share = 10;

    private int _others;

    /// <summary>How long the first of a band waits before the band counts as starving.</summary>
    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(5);

    /// <summary>True when the next grant belongs to a band that starves, if there is one.</summary>
    public readonly bool IsDue => _others >= Share - 1;

    /// <summary>Notes a grant.</summary>
    /// <param name="toStarving">True when it went to a band that starved.</param>
    public void Granted(bool toStarving) => _others = toStarving ? 0 : Math.Min(_others + 1, Share - 1);
}
