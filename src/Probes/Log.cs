using Microsoft.Extensions.Logging;

namespace LlmGateway.Probes;

/// <summary>The messages of this room: event ids 1000 to 1999, never reused.</summary>
internal static partial class Log
{
    [LoggerMessage(1000, LogLevel.Error, "A probe's listener threw; the probe goes on. This is a fault of the gateway: please report it.")]
    public static partial void ReportFailed(ILogger logger, Exception exception);
}
