using BenchmarkDotNet.Attributes;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Telemetry;

namespace LlmGateway.Benchmarks.Micro;

/// <summary>What a request's numbers cost while they are collected, as they are in the gateway.</summary>
[MemoryDiagnoser]
[ShortRunJob]
public class RecordMetrics : IAsyncDisposable
{
    private const string Model = Gateways.ModelName;

    private readonly GatewayTelemetry _telemetry = new("0.0.0", keys: 1, RequestMetrics.MeterName, SchedulingMetrics.MeterName);
    private readonly OverheadClock _overhead = new(TimeProvider.System, TimeProvider.System.GetTimestamp());
    private readonly RequestMetrics _requests;
    private readonly SchedulingMetrics _scheduling;

    public RecordMetrics()
    {
        var options = new GatewayOptions { Models = new Dictionary<string, ModelOptions> { [Model] = new() { Kind = ModelKind.Simulator } } };
        _requests = new RequestMetrics(_telemetry.Meters, new LiveCatalogue(new ModelCatalogue(options)));
        _scheduling = new SchedulingMetrics(_telemetry.Meters);
        _overhead.Pause();
    }

    [Benchmark(Description = "record one count")]
    public void Count() => _requests.Began(Model);

    [Benchmark(Description = "record one duration")]
    public void Duration() => _requests.Took(Model, stream: true, TimeSpan.FromMilliseconds(200));

    [Benchmark(Description = "record all of one streamed request")]
    public void Request()
    {
        _requests.Began(Model);
        _scheduling.Waited(Model, Priority.Normal, "granted", TimeSpan.Zero);
        _requests.FirstToken(Model, Priority.Normal, TimeSpan.FromMilliseconds(200));
        _requests.Overhead(_overhead);
        _requests.Tokens(Model, Caller.Anonymous.Name, 100, 10, 20);
        _requests.PerToken(Model, TimeSpan.FromMilliseconds(20));
        _requests.Finished(Model);
        _requests.Ended(Model, "chat_completions", 200, RequestOutcome.Ok);
        _requests.Took(Model, stream: true, TimeSpan.FromMilliseconds(500));
    }

    public async ValueTask DisposeAsync()
    {
        _requests.Dispose();
        _scheduling.Dispose();
        await _telemetry.DisposeAsync().ConfigureAwait(false);
        GC.SuppressFinalize(this);
    }
}
