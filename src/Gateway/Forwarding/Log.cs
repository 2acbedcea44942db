namespace LlmGateway.Gateway.Forwarding;

/// <summary>Event ids 3300 to 3399. Never text from a prompt, a completion or a key.</summary>
internal static partial class Log
{
    [LoggerMessage(3300, LogLevel.Warning, "{RequestId}: {Backend} broke off in the middle of the answer: {Reason}")]
    public static partial void StreamBroken(ILogger logger, string requestId, string backend, string reason);

    [LoggerMessage(3301, LogLevel.Warning, "{RequestId}: {Backend} sent no first token in time")]
    public static partial void NoFirstToken(ILogger logger, string requestId, string backend);

    [LoggerMessage(3302, LogLevel.Warning, "{RequestId}: {Backend} failed before the first byte ({End}, status {Status}): {Reason}")]
    public static partial void AttemptFailed(ILogger logger, string requestId, string backend, AttemptEnd end, int status, string reason);

    [LoggerMessage(3303, LogLevel.Warning, "{RequestId}: {From} broke off after {Tokens} tokens; {To} says the rest")]
    public static partial void StreamContinued(ILogger logger, string requestId, string from, string to, int tokens);

    [LoggerMessage(3304, LogLevel.Warning, "{RequestId}: {Backend} could not continue a broken stream: {Reason}")]
    public static partial void ContinuationFailed(ILogger logger, string requestId, string backend, string reason);
}
