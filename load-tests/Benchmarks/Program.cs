// Measurements of the gateway's own classes, without sockets where not said otherwise.
//
//   benchmarks micro [BenchmarkDotNet's arguments]     the hot parts: time and allocations
//   benchmarks scheduling [--out DIR] [--requests N] [--seeds N]   the scheduler on simulated time, against other policies
//   benchmarks scale                                   the scheduler with 100,000 waiters
//   benchmarks probes [--backends N]                   what probing costs, and how late probes are; the one with sockets
using System.Globalization;
using BenchmarkDotNet.Running;
using LlmGateway.Benchmarks.Probing;
using LlmGateway.Benchmarks.Simulation;

switch (args.FirstOrDefault())
{
    case "micro":
        BenchmarkSwitcher.FromAssembly(typeof(SimulationReport).Assembly).Run(args.Length > 1 ? args[1..] : ["--filter", "*"]);
        return 0;
    case "scheduling":
        var (markdown, plots) = SimulationReport.Run(Number("--requests", 6000), Number("--seeds", 3), Console.WriteLine);
        Console.WriteLine();
        Console.Write(markdown);
        if (Value("--out") is { } folder)
        {
            Directory.CreateDirectory(folder);
            foreach (var (name, svg) in plots)
            {
                File.WriteAllText(Path.Combine(folder, name + ".svg"), svg);
            }
        }

        return 0;
    case "scale":
        Console.Write(Scale.Run());
        return 0;
    case "probes":
        Console.Write(await ProbeCost.RunAsync(Number("--backends", 1000)));
        return 0;
    case ProbeCost.ServerVerb:
        await ProbeCost.ServeAsync();
        return 0;
    default:
        Console.Error.WriteLine("Usage: benchmarks micro|scheduling|scale|probes   (see load-tests/README.md)");
        return 2;
}

string? Value(string name) => Array.IndexOf(args, name) is >= 0 and var i && i + 1 < args.Length ? args[i + 1] : null;

int Number(string name, int otherwise) => Value(name) is { } text ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
