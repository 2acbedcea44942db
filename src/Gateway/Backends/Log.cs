namespace LlmGateway.Gateway.Backends;

/// <summary>Event ids 3100 to 3199.</summary>
internal static partial class Log
{
    [LoggerMessage(3100, LogLevel.Information, "{Backend} is {State}: {Result}")]
    public static partial void RemoteChanged(ILogger logger, string backend, string state, string result);

    [LoggerMessage(3101, LogLevel.Warning, "{Backend} is replaced by the new configuration; what still ran there after {Patience} is dropped")]
    public static partial void RemoteCutOff(ILogger logger, string backend, TimeSpan patience);

    [LoggerMessage(3190, LogLevel.Error, "Reading the servers' own metrics failed; they are read again after the next scrape")]
    public static partial void ServerMetricsFailed(ILogger logger, Exception exception);
}
