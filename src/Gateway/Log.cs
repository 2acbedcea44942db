namespace LlmGateway.Gateway;

/// <summary>Event ids 3000 to 3099.</summary>
internal static partial class Log
{
    [LoggerMessage(3000, LogLevel.Error, "{RequestId}: the gateway failed on this request")]
    public static partial void RequestFailed(ILogger logger, string requestId, Exception exception);

    [LoggerMessage(3001, LogLevel.Information, "Asked to stop by {Signal}: no new work; {InFlight} requests may take up to {DrainTimeout} to finish")]
    public static partial void Draining(ILogger logger, string signal, int inFlight, TimeSpan drainTimeout);

    [LoggerMessage(3002, LogLevel.Warning, "{InFlight} requests did not finish in time and are dropped")]
    public static partial void DrainIncomplete(ILogger logger, int inFlight);

    [LoggerMessage(3003, LogLevel.Information, "Stopped")]
    public static partial void Stopped(ILogger logger);

    [LoggerMessage(3004, LogLevel.Warning, "{Warning}")]
    public static partial void ConfigurationWarning(ILogger logger, string warning);

    [LoggerMessage(3005, LogLevel.Warning, "SIGHUP: {Path} was read again: {Result}")]
    public static partial void Reread(ILogger logger, string path, string result);

    [LoggerMessage(3006, LogLevel.Information, "SIGHUP: nothing to read again, the configuration came from the command line")]
    public static partial void NothingToReload(ILogger logger);
}
