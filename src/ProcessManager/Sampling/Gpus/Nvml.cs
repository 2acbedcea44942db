using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.InteropServices;

namespace LlmGateway.ProcessManager.Sampling.Gpus;

/// <summary>NVIDIA's management library, loaded when the machine has it. Nothing is linked: a machine without it is no error.</summary>
internal sealed unsafe class Nvml : IGpuReader, IDisposable
{
    private const int Success = 0;
    private const int MostGpus = 64;
    private const int NameLength = 96;
    private static readonly string[] Names = OperatingSystem.IsWindows() ? ["nvml.dll"] : ["libnvidia-ml.so.1", "libnvidia-ml.so"];

    private readonly nint _library;
    private readonly delegate* unmanaged<int> _shutdown;
    private readonly delegate* unmanaged<uint*, int> _count;
    private readonly delegate* unmanaged<uint, nint*, int> _handle;
    private readonly delegate* unmanaged<nint, byte*, uint, int> _name;
    private readonly delegate* unmanaged<nint, Utilization*, int> _utilization;
    private readonly delegate* unmanaged<nint, Memory*, int> _memory;
    private readonly delegate* unmanaged<nint, MemoryAndReserve*, int> _memoryAndReserve;
    private readonly NvmlProcesses _processes;

    private Nvml(nint library)
    {
        _library = library;
        _shutdown = (delegate* unmanaged<int>)Export("nvmlShutdown");
        _count = (delegate* unmanaged<uint*, int>)Export("nvmlDeviceGetCount_v2");
        _handle = (delegate* unmanaged<uint, nint*, int>)Export("nvmlDeviceGetHandleByIndex_v2");
        _name = (delegate* unmanaged<nint, byte*, uint, int>)Export("nvmlDeviceGetName");
        _utilization = (delegate* unmanaged<nint, Utilization*, int>)Export("nvmlDeviceGetUtilizationRates");
        _memory = (delegate* unmanaged<nint, Memory*, int>)Export("nvmlDeviceGetMemoryInfo");
        _memoryAndReserve = NativeLibrary.TryGetExport(library, "nvmlDeviceGetMemoryInfo_v2", out var newer) ? (delegate* unmanaged<nint, MemoryAndReserve*, int>)newer : null;
        _processes = new(library);
        if (((delegate* unmanaged<int>)Export("nvmlInit_v2"))() is not Success and var error)
        {
            throw new IOException($"NVIDIA's driver answers {error.ToString(CultureInfo.InvariantCulture)}");
        }
    }

    public TimeSpan Period => TimeSpan.FromSeconds(2);

    /// <summary>Null when the machine has no such library, one too old, or no driver behind it.</summary>
    public static Nvml? TryLoad(params ReadOnlySpan<string> names)
    {
        foreach (var name in names.IsEmpty ? Names : names)
        {
            // By its name only: the system's folders, never ours or the current one.
            if (!NativeLibrary.TryLoad(name, typeof(Nvml).Assembly, DllImportSearchPath.System32, out var library))
            {
                continue;
            }

            try
            {
                return new(library);
            }
            catch (Exception e) when (e is EntryPointNotFoundException or IOException)
            {
                NativeLibrary.Free(library);
            }
        }

        return null;
    }

    public ImmutableArray<GpuSample> Read()
    {
        uint count;
        if (_count(&count) != Success)
        {
            return [];
        }

        var gpus = ImmutableArray.CreateBuilder<GpuSample>();
        for (uint i = 0; i < Math.Min(count, MostGpus); i++)
        {
            nint device;
            if (_handle(i, &device) == Success)
            {
                gpus.Add(Read(i, device));
            }
        }

        return gpus.ToImmutable();
    }

    public void Dispose()
    {
        _ = _shutdown();
        NativeLibrary.Free(_library);
    }

    private GpuSample Read(uint index, nint device)
    {
        var name = stackalloc byte[NameLength];
        Utilization utilization;
        var named = _name(device, name, NameLength) == Success;
        var used = _utilization(device, &utilization) == Success;
        var memory = ReadMemory(device);
        return new(
            index.ToString(CultureInfo.InvariantCulture),
            named ? Marshal.PtrToStringUTF8((nint)name) : null,
            used ? utilization.Gpu / 100.0 : null,
            memory?.Used,
            memory?.Total)
        {
            Processes = _processes.Of(device),
        };
    }

    /// <summary>Used and total. What the driver keeps for itself counts as used only where an older library can't tell it.</summary>
    private (long Used, long Total)? ReadMemory(nint device)
    {
        var newer = new MemoryAndReserve { Version = (uint)sizeof(MemoryAndReserve) | (2 << 24) };
        if (_memoryAndReserve is not null && _memoryAndReserve(device, &newer) == Success)
        {
            return ((long)newer.Used, (long)newer.Total);
        }

        Memory older;
        return _memory(device, &older) == Success ? ((long)older.Used, (long)older.Total) : null;
    }

    private nint Export(string name) => NativeLibrary.GetExport(_library, name);

    [StructLayout(LayoutKind.Sequential)]
    private struct Utilization
    {
        public uint Gpu;
        public uint MemoryBusy;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Memory
    {
        public ulong Total;
        public ulong Free;
        public ulong Used;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct MemoryAndReserve
    {
        public uint Version;
        public ulong Total;
        public ulong Reserved;
        public ulong Free;
        public ulong Used;
    }
}
