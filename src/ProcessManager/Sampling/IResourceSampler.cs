namespace LlmGateway.ProcessManager.Sampling;

/// <summary>Looks at the replicas' processes, the machine and its GPUs in the background, every two seconds.</summary>
public interface IResourceSampler
{
    /// <summary>The last look. Reading it costs nothing, never waits, and disturbs no other reader.</summary>
    ResourceSnapshot Current { get; }
}
