using System.Collections.Immutable;
using System.Diagnostics.Metrics;
using System.Text;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Probes;

namespace LlmGateway.Benchmarks;

/// <summary>The gateway's own classes, as a measurement needs them.</summary>
internal static class Gateways
{
    public const string ModelName = "m";

    public const int BytesPerToken = 4;

    private static readonly InferenceEndpoint Chat = InferenceEndpoint.All.Single(static endpoint => endpoint.Name == "chat_completions");

    public static Model Model(int backends, int slots, QueueOptions queue) => new(
        ModelName,
        new ModelOptions { Kind = ModelKind.Remote, Remotes = [.. Enumerable.Range(0, backends).Select(_ => new RemoteOptions { Url = "http://127.0.0.1:9/", Slots = slots })], Queue = queue },
        new QueueOptions());

    public static Backend Backend(int index, int generation = 0) =>
        new($"{ModelName}/{index}", ModelName, generation, BackendAddress.Tcp("127.0.0.1", 9), apiKey: null, hasSlotsEndpoint: false);

    public static BackendSnapshot Ready(IEnumerable<Backend> backends, int slots) =>
        new(ModelName, [.. backends.Select(backend => new BackendEntry(backend.Name, BackendCondition.Ready, backend, slots, null, null))]);

    public static ModelQueue Queue(Model model, TimeProvider time) => new(model, time, new Random(1), new SchedulingMetrics(new Meters()), static (_, _) => { });

    public static InferenceRequest Request(Model model, RequestBody body, TimeProvider time, string key, int? maxTokens = null, TimeSpan? within = null, ImmutableArray<PrefixLink>? prefix = null) => new()
    {
        Id = "r",
        Shape = new(ApiDialect.OpenAi),
        Endpoint = Chat,
        Path = Chat.Paths[0],
        Model = model,
        Body = body,
        Stream = true,
        Slots = 1,
        Priority = Priority.Normal,
        Key = key,
        HasKey = true,
        MaxTokens = maxTokens,
        FirstTokenWithin = within,
        Prefix = prefix ?? [],
        ArrivedAt = time.GetTimestamp(),
        Overhead = new OverheadClock(time, time.GetTimestamp()),
    };

    /// <summary>A body of about so many tokens; its text is all the same.</summary>
    public static RequestBody Body(int tokens)
    {
        var bytes = Encoding.UTF8.GetBytes(new string('x', tokens * BytesPerToken));
        return RequestBody.ReadAsync(new MemoryStream(bytes), bytes.Length, new BodyBudget(long.MaxValue), TimeSpan.FromMinutes(1), TimeProvider.System, CancellationToken.None).AsTask().Result!;
    }

    /// <summary>Makes meters that nobody listens to.</summary>
    internal sealed class Meters : IMeterFactory
    {
        public Meter Create(MeterOptions options) => new(options);

        public void Dispose()
        {
        }
    }
}
