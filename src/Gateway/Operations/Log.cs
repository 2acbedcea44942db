using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Operations;

/// <summary>Event ids 3400 to 3499.</summary>
internal static partial class Log
{
    [LoggerMessage(3400, LogLevel.Information, "Command {Verb} for {Model}/{Index} from {Source}")]
    public static partial void Commanded(ILogger logger, ReplicaVerb verb, string model, int index, string source);

    [LoggerMessage(3401, LogLevel.Warning, "Command {Verb} for {Model}/{Index} failed: {Reason}")]
    public static partial void CommandFailed(ILogger logger, ReplicaVerb verb, string model, int index, string reason);

    [LoggerMessage(3450, LogLevel.Information, "Command {Verb} for the configuration from {Source}")]
    public static partial void ReloadCommanded(ILogger logger, string verb, string source);

    [LoggerMessage(3451, LogLevel.Information, "Command {Verb} for {Model} from {Source}")]
    public static partial void ModelCommanded(ILogger logger, string verb, string model, string source);

    [LoggerMessage(3452, LogLevel.Warning, "Command {Verb} for {Model} was not carried out: {Reason}")]
    public static partial void ModelCommandFailed(ILogger logger, string verb, string model, string reason);

    [LoggerMessage(3484, LogLevel.Information, "Profile {Kind} for {Source}")]
    public static partial void Profiling(ILogger logger, Profiling.ProfileKind kind, string source);

    [LoggerMessage(3480, LogLevel.Error, "The thread that accepts management connections has failed: the management listener is closed")]
    public static partial void ManagementAcceptEnded(ILogger logger, Exception exception);

    [LoggerMessage(3481, LogLevel.Error, "The management listener can't accept connections ({Error}); it tries again until it can")]
    public static partial void ManagementAcceptFailed(ILogger logger, System.Net.Sockets.SocketError error);

    [LoggerMessage(3482, LogLevel.Error, "The thread pool has run nothing for {Delay}: requests wait; {Threads} threads are busy, {Pending} pieces of work wait")]
    public static partial void PoolStarved(ILogger logger, TimeSpan delay, int threads, long pending);

    [LoggerMessage(3483, LogLevel.Warning, "The thread pool works again; work had waited {Delay}")]
    public static partial void PoolRecovered(ILogger logger, TimeSpan delay);
}
