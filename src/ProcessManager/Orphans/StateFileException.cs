namespace LlmGateway.ProcessManager.Orphans;

/// <summary>What is to be launched can't be written down. The gateway's own trouble: no replica is to blame for it.</summary>
internal sealed class StateFileException(string message, Exception inner) : IOException(message, inner);
