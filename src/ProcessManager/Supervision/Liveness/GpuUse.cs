using System.Collections.Immutable;
using LlmGateway.ProcessManager.Sampling;

namespace LlmGateway.ProcessManager.Supervision.Liveness;

/// <summary>Does a GPU work for these processes, as far as its driver tells? Pure.</summary>
/// <remarks>
/// A doubt counts for the process: work is not killed. Where the driver does not tell whose work it does, or knows processes by other numbers
/// than ours (in a container), any GPU at work is taken for theirs; a hung one beside one that works is then found by how long it is busy.
/// </remarks>
internal static class GpuUse
{
    /// <summary>Up to this share a GPU only shows a desktop.</summary>
    private const double Flat = 0.05;

    /// <param name="gpus">All that is known.</param>
    /// <param name="pids">The processes of one replica that have a GPU open.</param>
    public static bool IsBusy(ImmutableArray<GpuSample> gpus, ImmutableArray<int> pids)
    {
        if (pids.IsEmpty)
        {
            return false;
        }

        var listed = gpus.Where(gpu => gpu.Processes is { } processes && pids.Any(processes.ContainsKey)).ToList();
        return listed.Count == 0
            ? gpus.Any(gpu => gpu.Utilization > Flat)
            : listed.Any(gpu => pids.Any(pid => gpu.Processes!.TryGetValue(pid, out var share) && (share ?? gpu.Utilization) > Flat));
    }
}
