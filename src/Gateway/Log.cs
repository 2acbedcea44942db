namespace LlmGateway.Gateway;

/// <summary>Event ids 3000 to 3099; 3005 and 3006 are spent.</summary>
internal static partial class Log
{
    private static readonly Func<ILogger, string, IDisposable?> RequestScope = LoggerMessage.DefineScope<string>("{RequestId}");

    /// <summary>Until it is disposed, all that is logged on behalf of the request carries its id.</summary>
    public static IDisposable? ForRequest(ILogger logger, string requestId) => RequestScope(logger, requestId);

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

    [LoggerMessage(3010, LogLevel.Warning, "The files of Gateway:Tls have changed and can't be used, the certificate before stays: {Reason}")]
    public static partial void CertificateUnusable(ILogger logger, string reason);

    [LoggerMessage(3012, LogLevel.Warning, "Connections are closed at once: of {Limit} file descriptors only the {Reserve} are left that are kept for what runs. Raise the limit (ulimit -n, LimitNOFILE=), or lower Gateway:MaxConnections")]
    public static partial void DescriptorsShort(ILogger logger, long limit, int reserve);

    [LoggerMessage(3011, LogLevel.Warning, "{Source} sends wrong API keys, one after the other; it is told to wait")]
    public static partial void KeysAreGuessed(ILogger logger, string source);
}
