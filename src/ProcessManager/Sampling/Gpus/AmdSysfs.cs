using System.Collections.Immutable;
using LlmGateway.ProcessManager.Launching;

namespace LlmGateway.ProcessManager.Sampling.Gpus;

/// <summary>Reads what the amdgpu driver writes into <c>/sys/class/drm/cardN/device</c>.</summary>
/// <param name="root">Where that is; tests put a folder there.</param>
internal sealed class AmdSysfs(string root = AmdSysfs.Root) : IGpuReader
{
    private const string Root = "/sys/class/drm";

    public TimeSpan Period => TimeSpan.FromSeconds(2);

    public static AmdSysfs? TryFind(string root = Root)
    {
        var reader = new AmdSysfs(root);
        return reader.Read().IsEmpty ? null : reader;
    }

    public ImmutableArray<GpuSample> Read()
    {
        if (!Directory.Exists(root))
        {
            return [];
        }

        var gpus = ImmutableArray.CreateBuilder<GpuSample>();
        var cards = Directory.EnumerateDirectories(root, "card*").Where(card => Path.GetFileName(card).AsSpan(4).ContainsAnyExceptInRange('0', '9') is false);
        foreach (var device in cards.Order(StringComparer.Ordinal).Select(card => Path.Combine(card, "device")))
        {
            // An integrated GPU of another maker has neither file.
            if (ProcText.Number(ProcFs.Text(device + "/mem_info_vram_total")) is { } total)
            {
                gpus.Add(new(
                    gpus.Count.ToString(System.Globalization.CultureInfo.InvariantCulture),
                    ProcFs.Text(device + "/product_name").Trim() is { Length: > 0 } name ? name : null,
                    ProcText.Number(ProcFs.Text(device + "/gpu_busy_percent")) / 100.0,
                    ProcText.Number(ProcFs.Text(device + "/mem_info_vram_used")),
                    total));
            }
        }

        return gpus.ToImmutable();
    }
}
