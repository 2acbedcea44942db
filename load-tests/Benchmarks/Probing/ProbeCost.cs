using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using LlmGateway.Probes;
using Microsoft.Extensions.Logging.Abstractions;

namespace LlmGateway.Benchmarks.Probing;

/// <summary>What probing many backends costs, and how late probes are. The server that answers is a process of its own, so only the asking is counted.</summary>
internal static class ProbeCost
{
    /// <summary>The first argument of the process that answers.</summary>
    public const string ServerVerb = "probes-server";

    private const int Looks = 3;
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(10);

    /// <summary>Answers until its input ends.</summary>
    public static async Task ServeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        await using var app = builder.Build();
        app.MapGet("/health", () => Results.Text("""{"status":"ok"}""", "application/json"));
        await app.StartAsync();
        Console.WriteLine(app.Urls.First());
        await Console.In.ReadToEndAsync();
    }

    /// <summary>One round to warm up, then <see cref="Looks"/> periods of all probes.</summary>
    public static async Task<string> RunAsync(int backends)
    {
        using var server = Process.Start(new ProcessStartInfo(Environment.ProcessPath!, ServerVerb) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        try
        {
            var url = new Uri((await server.StandardOutput.ReadLineAsync())!);
            return await MeasureAsync(BackendAddress.Tcp(url.Host, url.Port), backends);
        }
        finally
        {
            server.StandardInput.Close();
            await server.WaitForExitAsync();
        }
    }

    private static async Task<string> MeasureAsync(BackendAddress address, int backends)
    {
        var born = TimeProvider.System.GetTimestamp();
        var starts = Enumerable.Range(0, backends).Select(_ => new ConcurrentQueue<TimeSpan>()).ToArray();
        var failed = 0;
        var loops = starts.Select((mine, index) =>
        {
            var options = new ProbeOptions { Period = Period, Timeout = TimeSpan.FromSeconds(5), InitialDelay = Period * (index / (double)backends) };
            return ProbeLoop.Start(
                Probe.Create(options, address, null, TimeProvider.System),
                options,
                report =>
                {
                    mine.Enqueue(TimeProvider.System.GetElapsedTime(born) - report.Result.Elapsed);
                    _ = report.Result.Outcome is ProbeOutcome.Pass ? 0 : Interlocked.Increment(ref failed);
                },
                TimeProvider.System,
                () => 0.5, // no jitter: what is off the period is late
                NullLogger.Instance,
                CancellationToken.None);
        }).ToList();

        await Task.Delay(Period * 2, TimeProvider.System, CancellationToken.None);
        var (cpu, at) = (Environment.CpuUsage.TotalTime, TimeProvider.System.GetElapsedTime(born));
        await Task.Delay(Period * Looks, TimeProvider.System, CancellationToken.None);
        var share = (Environment.CpuUsage.TotalTime - cpu) / (TimeProvider.System.GetElapsedTime(born) - at);
        foreach (var loop in loops)
        {
            await loop.DisposeAsync();
        }

        var late = starts.SelectMany(mine => mine.Zip(mine.Skip(1), (one, next) => (next - one - Period).TotalMilliseconds)).Order().ToArray();
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{backends} backends every {Period.TotalSeconds:0} s: {share:0.0%} of one core; late by {late[late.Length / 2]:0.0} ms (median), {late[(int)(late.Length * 0.99)]:0.0} ms (p99), {late[^1]:0.0} ms (most); {failed} of {starts.Sum(mine => mine.Count)} failed\n");
    }
}
