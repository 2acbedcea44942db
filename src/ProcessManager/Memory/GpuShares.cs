using System.Collections.Immutable;
using System.Globalization;

namespace LlmGateway.ProcessManager.Memory;

/// <summary>How a server spreads over the GPUs what it puts there. Pure.</summary>
/// <remarks>
/// As llama-server does it: of the GPUs that its environment lets it see those that <c>--device</c> names; on one of them with
/// <c>--split-mode none</c>, else on all, by <c>--tensor-split</c> or by their memory. GPUs are counted as their driver does; CUDA counts the fastest
/// first unless <c>CUDA_DEVICE_ORDER=PCI_BUS_ID</c>, so unlike cards need that variable.
/// </remarks>
public static class GpuShares
{
    private static readonly string[] Variables = ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES"];

    /// <summary>The share of each GPU; all 0 when none is used.</summary>
    /// <param name="arguments">How it is served.</param>
    /// <param name="variable">The server's environment.</param>
    /// <param name="sizes">Memory of each GPU, bytes.</param>
    public static ImmutableArray<double> Of(LlamaArguments arguments, Func<string, string?> variable, ImmutableArray<long> sizes)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        ArgumentNullException.ThrowIfNull(variable);
        var used = Named(arguments.Devices, Visible(variable, sizes.Length));
        var shares = new double[sizes.Length];
        if (used.IsEmpty)
        {
            return [.. shares];
        }

        if (arguments.SplitMode == "none")
        {
            shares[used[Math.Clamp(arguments.MainGpu, 0, used.Length - 1)]] = 1;
            return [.. shares];
        }

        var split = arguments.TensorSplit;
        double[] weights = [.. used.Select((gpu, i) => split.IsEmpty ? sizes[gpu] : i < split.Length ? split[i] : 0)];
        var all = weights.Sum();
        for (var i = 0; i < used.Length; i++)
        {
            shares[used[i]] += all > 0 ? weights[i] / all : 1.0 / used.Length;
        }

        return [.. shares];
    }

    /// <summary>What the environment lets it see, in its order; what can't be read (a name, say) is all of them.</summary>
    private static ImmutableArray<int> Visible(Func<string, string?> variable, int count)
    {
        if (Variables.Select(variable).FirstOrDefault(value => value is not null) is not { } list)
        {
            return [.. Enumerable.Range(0, count)];
        }

        var visible = ImmutableArray.CreateBuilder<int>();
        foreach (var text in list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number))
            {
                return [.. Enumerable.Range(0, count)];
            }

            if (number < 0 || number >= count)
            {
                break; // those behind a number that there is not are hidden, too
            }

            visible.Add(number);
        }

        return visible.ToImmutable();
    }

    /// <summary>Those that <c>--device</c> names, such as <c>CUDA0,CUDA1</c>; none for <c>none</c>.</summary>
    private static ImmutableArray<int> Named(string? devices, ImmutableArray<int> visible)
    {
        if (devices is null or "none")
        {
            return devices is null ? visible : [];
        }

        var named = ImmutableArray.CreateBuilder<int>();
        foreach (var device in devices.Split(',', StringSplitOptions.TrimEntries))
        {
            var number = device[(device.AsSpan().LastIndexOfAnyExceptInRange('0', '9') + 1)..];
            if (!int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var index) || index >= visible.Length)
            {
                return visible;
            }

            named.Add(visible[index]);
        }

        return named.ToImmutable();
    }
}
