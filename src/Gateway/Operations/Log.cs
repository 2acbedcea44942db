using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.Gateway.Operations;

/// <summary>Event ids 3400 to 3499.</summary>
internal static partial class Log
{
    [LoggerMessage(3400, LogLevel.Information, "Command {Verb} for {Model}/{Index} from {Source}")]
    public static partial void Commanded(ILogger logger, ReplicaVerb verb, string model, int index, string source);

    [LoggerMessage(3401, LogLevel.Warning, "Command {Verb} for {Model}/{Index} failed: {Reason}")]
    public static partial void CommandFailed(ILogger logger, ReplicaVerb verb, string model, int index, string reason);
}
