namespace LlmGateway.Gateway.Scheduling;

/// <summary>Event ids 3200 to 3299.</summary>
internal static partial class Log
{
    [LoggerMessage(3200, LogLevel.Warning, "{Backend} does not tell which slots are busy, so slots that were given up stay closed: {Reason}")]
    public static partial void SlotsUnanswered(ILogger logger, string backend, string reason);

    [LoggerMessage(EventId = 3201, Message = "{Backend}: the breaker turns from {From} to {To}: {Reason}")]
    public static partial void BreakerChanged(ILogger logger, LogLevel level, string backend, string from, string to, string reason);
}
