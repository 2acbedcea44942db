using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using LlmGateway.ProcessManager.Launching;

namespace LlmGateway.ProcessManager.Sampling.Gpus;

/// <summary>Asks NVIDIA's program, where its library can't be loaded. A child that can be killed, with little time and little to say.</summary>
internal sealed class NvidiaSmi(string program) : IGpuReader
{
    private const int MostCharacters = 64 * 1024;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Seldom: it takes a good part of a second.</summary>
    public TimeSpan Period => TimeSpan.FromSeconds(10);

    public static NvidiaSmi? TryFind() =>
        Preflight.FindProgram("nvidia-smi", Environment.GetEnvironmentVariable("PATH")).Path is { } path ? new(path) : null;

    public ImmutableArray<GpuSample> Read()
    {
        var info = new ProcessStartInfo(program)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            ArgumentList = { "--query-gpu=index,utilization.gpu,memory.used,memory.total,name", "--format=csv,noheader,nounits" },
        };
        using var process = Process.Start(info) ?? throw new IOException($"{program} does not start");
        process.ErrorDataReceived += (_, _) => { }; // read and dropped, so that it never waits for us
        process.BeginErrorReadLine();
        process.StandardInput.Close();
        var output = ReadAsync(process.StandardOutput);
        if (output.Wait(Patience) && process.WaitForExit(Patience))
        {
            return process.ExitCode == 0 ? Parse(output.Result) : [];
        }

        process.Kill(entireProcessTree: true); // in the kernel for good it does not even hear this: then it is the driver's
        return [];
    }

    /// <summary>Lines such as <c>0, 37, 10240, 81559, NVIDIA H100 80GB HBM3</c>, in percent and MiB; <c>[N/A]</c> is unknown. Pure.</summary>
    internal static ImmutableArray<GpuSample> Parse(string text)
    {
        var gpus = ImmutableArray.CreateBuilder<GpuSample>();
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (line.Split(',', 5, StringSplitOptions.TrimEntries) is [var index, var busy, var used, var total, var name] && Number(index) is { } number)
            {
                gpus.Add(new(number.ToString(CultureInfo.InvariantCulture), name, Number(busy) / 100.0, Number(used) << 20, Number(total) << 20));
            }
        }

        return gpus.ToImmutable();
    }

    private static long? Number(string text) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number < int.MaxValue ? number : null;

    private static async Task<string> ReadAsync(StreamReader reader)
    {
        var buffer = new char[MostCharacters];
        var read = await reader.ReadBlockAsync(buffer).ConfigureAwait(false);
        return new(buffer, 0, read);
    }
}
