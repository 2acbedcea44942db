using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace LlmGateway.ProcessManager.Sampling.Gpus;

/// <summary>Asks NVIDIA's library who computes on a GPU, and how much. Older libraries and some cards don't tell: then nothing is known.</summary>
internal sealed unsafe class NvmlProcesses
{
    private const int Success = 0;
    private const int Most = 1024;

    private readonly delegate* unmanaged<nint, uint*, Present*, int> _present;
    private readonly delegate* unmanaged<nint, Work*, uint*, ulong, int> _work;
    private readonly Dictionary<nint, ulong> _seenUntil = [];

    /// <summary>Takes what the library has of it.</summary>
    public NvmlProcesses(nint library)
    {
        _present = NativeLibrary.TryGetExport(library, "nvmlDeviceGetComputeRunningProcesses_v3", out var present) ? (delegate* unmanaged<nint, uint*, Present*, int>)present : null;
        _work = NativeLibrary.TryGetExport(library, "nvmlDeviceGetProcessUtilization", out var work) ? (delegate* unmanaged<nint, Work*, uint*, ulong, int>)work : null;
    }

    /// <summary>Processes that compute on the device, with the largest share of it that each had since the last question; null when the library does not tell.</summary>
    public ImmutableDictionary<int, double?>? Of(nint device)
    {
        if (_present is null)
        {
            return null;
        }

        uint count = Most;
        var present = stackalloc Present[Most];
        if (_present(device, &count, present) != Success)
        {
            return null;
        }

        var shares = Shares(device);
        var processes = ImmutableDictionary.CreateBuilder<int, double?>();
        for (var i = 0; i < Math.Min(count, Most); i++)
        {
            var pid = (int)present[i].Pid;
            processes[pid] = shares is null ? null : shares.GetValueOrDefault(pid); // who did nothing is in no sample
        }

        return processes.ToImmutable();
    }

    private Dictionary<int, double>? Shares(nint device)
    {
        if (_work is null)
        {
            return null;
        }

        uint count = Most;
        var samples = stackalloc Work[Most];
        var since = _seenUntil.GetValueOrDefault(device);
        var answer = _work(device, samples, &count, since);
        const int NotFound = 6; // nobody has done anything since
        if (answer is not (Success or NotFound))
        {
            return null;
        }

        var shares = new Dictionary<int, double>();
        for (var i = 0; answer == Success && i < Math.Min(count, Most); i++)
        {
            var (pid, share) = ((int)samples[i].Pid, samples[i].Compute / 100.0);
            shares[pid] = Math.Max(shares.GetValueOrDefault(pid), share);
            since = Math.Max(since, samples[i].At);
        }

        _seenUntil[device] = since;
        return shares;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Present
    {
        public uint Pid;
        public ulong UsedMemory;
        public uint Instance;
        public uint ComputeInstance;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Work
    {
        public uint Pid;
        public ulong At;
        public uint Compute;
        public uint Memory;
        public uint Encoder;
        public uint Decoder;
    }
}
