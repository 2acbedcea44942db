namespace LlmGateway.Gateway.Scaling;

/// <summary>Event ids 3500 to 3599.</summary>
internal static partial class Log
{
    [LoggerMessage(3500, LogLevel.Information, "Configuration {Path} is in force ({Trigger}): {Summary}")]
    public static partial void Reloaded(ILogger logger, string path, string trigger, string summary);

    [LoggerMessage(3501, LogLevel.Error, "Configuration {Path} was refused ({Trigger}), the old one stays: {Errors}")]
    public static partial void ReloadRefused(ILogger logger, string path, string trigger, string errors);

    [LoggerMessage(3502, LogLevel.Information, "Nothing to read again ({Trigger}): the configuration came from the command line")]
    public static partial void NothingToReload(ILogger logger, string trigger);

    [LoggerMessage(3503, LogLevel.Error, "After the reload: {Problem}")]
    public static partial void ReloadIncomplete(ILogger logger, string problem);

    [LoggerMessage(3504, LogLevel.Warning, "{Path} can't be watched ({Reason}): a change is noticed within {Period}")]
    public static partial void WatchFailed(ILogger logger, string path, string reason, TimeSpan period);

    [LoggerMessage(3505, LogLevel.Critical, "The reload failed. This is a fault of the gateway: please report it.")]
    public static partial void ReloadFailed(ILogger logger, Exception exception);

    [LoggerMessage(3506, LogLevel.Critical, "The keeper of the models failed on {Message}. This is a fault of the gateway: please report it.")]
    public static partial void KeeperFailed(ILogger logger, string message, Exception exception);

    [LoggerMessage(3507, LogLevel.Error, "{Model}: starting or ending it failed")]
    public static partial void WorkFailed(ILogger logger, string model, Exception exception);

    [LoggerMessage(3508, LogLevel.Warning, "{Model} waits for memory: {Shortage}")]
    public static partial void MemoryShort(ILogger logger, string model, string shortage);
}
