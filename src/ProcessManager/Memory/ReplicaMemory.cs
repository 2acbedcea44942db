using System.Collections.Immutable;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Memory;

/// <summary>The memory of one replica, by its options: reads the headers of the files that its command line names.</summary>
public static class ReplicaMemory
{
    /// <summary>Estimates one process of the set.</summary>
    /// <param name="options">The set.</param>
    /// <param name="gpus">Memory of each GPU, bytes: layers go there when the arguments leave it to the server.</param>
    /// <returns>The estimate; or why there is none, in one sentence for a person.</returns>
    public static (MemoryEstimate? Estimate, string? Unknown) Estimate(ReplicaSetOptions options, ImmutableArray<long> gpus)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Kind is not ReplicaKind.LlamaServer)
        {
            return (null, "Only a llama-server's memory can be estimated. Give the model's MemoryBytes.");
        }

        var arguments = Arguments(options);
        var hasGpu = Shares(options, gpus).Any(share => share > 0);
        if (arguments.ModelFile is not { } file)
        {
            return (null, "Its arguments name no local model file whose size could be read. Give the model's MemoryBytes.");
        }

        var reading = file;
        try
        {
            var estimate = MemoryEstimator.Estimate(Read(file), arguments, hasGpu);
            ImmutableArray<string?> companions = [arguments.ProjectorFile, arguments.DraftFile, .. arguments.AdapterFiles];
            foreach (var companion in companions.OfType<string>())
            {
                estimate = estimate.With(Read(companion), arguments, hasGpu);
            }

            return (estimate, null);
        }
        catch (Exception e) when (e is GgufException or IOException or UnauthorizedAccessException)
        {
            return (null, $"{reading} can't be sized: {e.Message}");
        }

        GgufHeader Read(string path)
        {
            reading = Path.GetFullPath(path, Path.GetFullPath(options.WorkingDirectory ?? "."));
            return GgufReader.Read(reading);
        }
    }

    /// <summary>The share of each GPU in what one process of the set puts on GPUs; all 0 when it uses none.</summary>
    /// <param name="options">The set.</param>
    /// <param name="gpus">Memory of each GPU, bytes.</param>
    public static ImmutableArray<double> Shares(ReplicaSetOptions options, ImmutableArray<long> gpus)
    {
        ArgumentNullException.ThrowIfNull(options);
        return GpuShares.Of(
            options.Kind is ReplicaKind.LlamaServer ? Arguments(options) : new LlamaArguments(),
            name => options.Environment.TryGetValue(name, out var value) ? value : Environment.GetEnvironmentVariable(name),
            gpus);
    }

    private static LlamaArguments Arguments(ReplicaSetOptions options) =>
        LlamaArguments.Parse(CommandLine.Build(options, new("127.0.0.1", options.FirstPort, 0), Environment.ProcessorCount), options.Environment);
}
