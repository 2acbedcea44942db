using System.Net.Http.Json;
using System.Net.Sockets;
using LlmGateway.ProcessManager.Memory;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Sampling;
using LlmGateway.TestKit.Processes;
using LlmGateway.TinyModel;

namespace LlmGateway.ProcessManager.Tests.Memory;

/// <summary>The estimate against the resident memory of the real llama-server at work.</summary>
[Trait("Suite", "Real")]
public sealed class RealServerMemoryTests
{
    private static readonly ModelShape Small = ModelShape.Presets["small"];

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static TheoryData<string, string> Shapes => new()
    {
        { "tiny", "-np 2 -c 4096" },
        { "medium", "-np 2 -c 4096" },
        { "medium Q4_0", "-np 2 -c 8192" },
        { "medium Q4_K", "-np 4 -c 16384" },
        { "medium Q8_0", "-np 2 -c 4096 --load-mode none" },
        { "many heads of keys", "-np 2 -c 16384" },
        { "many heads of keys", "-np 2 -c 16384 -ctk q8_0 -ctv q8_0" },
        { "mixture", "-np 2 -c 4096" },
        { "windowed", "-np 2 -c 32768 --ctx-checkpoints 0" },
        { "large vocabulary", "-np 1 -c 2048" },
        { "wide feed-forward", "-np 8 -c 8192 -kvu" },
        { "wide feed-forward", "-np 2 -c 4096 -b 256" },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task Estimate_RealServerAtWork_IsWithinATenthOfItsResidentMemory(string shape, string arguments)
    {
        var program = Environment.GetEnvironmentVariable("LLAMA_SERVER");
        Assert.SkipWhen(program is null, "LLAMA_SERVER is not set: run ./test.sh");
        var folder = Directory.CreateTempSubdirectory("llmgw-mem-").FullName;
        try
        {
            var file = Path.Combine(folder, "m.gguf");
            using (var stream = File.Create(file))
            {
                new RandomModel(Shape(shape), shape, chatTemplate: true, seed: 1, endWeight: 0).WriteTo(stream);
            }

            string[] given = ["-m", file, "--threads-http", "512", "-b", "512", .. arguments.Split(' ')];
            var (estimate, unknown) = ReplicaMemory.Estimate(
                new() { Model = "m", Kind = ReplicaKind.LlamaServer, Executable = program!, Args = given }, gpus: []);
            Assert.Null(unknown);

            var measured = await MeasureAsync(program!, [.. given, "-t", "1", "--offline", "--cache-ram", "0"], folder);

            var difference = ((double)estimate!.RamBytes / measured) - 1;
            TestContext.Current.TestOutputHelper?.WriteLine($"{shape} {arguments}: estimated {estimate.RamBytes >> 20} MiB, measured {measured >> 20} MiB, {difference:+0.0%;-0.0%}");
            Assert.True(Math.Abs(difference) < 0.10, $"{estimate} is {difference:+0.0%;-0.0%} off the {measured} bytes measured");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static ModelShape Shape(string name) => name switch
    {
        "medium Q4_0" => ModelShape.Presets["medium"] with { Weights = TensorKind.Q40 },
        "medium Q4_K" => ModelShape.Presets["medium"] with { Weights = TensorKind.Q4K },
        "medium Q8_0" => ModelShape.Presets["medium"] with { Weights = TensorKind.Q80 },
        "many heads of keys" => Small with { Embedding = 512, Heads = 8, KeyValueHeads = 8, Layers = 12 },
        "mixture" => Small with { Embedding = 512, FeedForward = 1024, Experts = 8 },
        "windowed" => Small with { Embedding = 512, Layers = 8, FeedForward = 1024, SlidingWindow = 256 },
        "large vocabulary" => Small with { Embedding = 512, Vocabulary = 32000 },
        "wide feed-forward" => Small with { Embedding = 512, FeedForward = 4096 },
        _ => ModelShape.Presets[name],
    };

    /// <summary>Anonymous and file memory when two prompts that fill whole batches have been worked on.</summary>
    private static async Task<long> MeasureAsync(string program, string[] arguments, string folder)
    {
        var socket = Path.Combine(folder, "m.sock");
        await using var server = ChildProcess.Start(program, [.. arguments, "--host", socket]);
        using var client = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancellationToken) =>
            {
                var connection = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await connection.ConnectAsync(new UnixDomainSocketEndPoint(socket), cancellationToken);
                return new NetworkStream(connection, ownsSocket: true);
            },
        })
        { BaseAddress = new("http://server/"), Timeout = TimeSpan.FromMinutes(2) };
        await server.WaitForLineAsync(line => line.Contains("listening on", StringComparison.Ordinal), Ct);
        await Task.WhenAll(Enumerable.Range(0, 2).Select(async number =>
        {
            var prompt = $"{number} {string.Join(' ', Enumerable.Repeat("the water", 400))}";
            using var answer = await client.PostAsJsonAsync("completion", new { prompt, n_predict = 4 }, Ct);
            answer.EnsureSuccessStatusCode();
        }));
        var reading = new LinuxProcessReader().Read(server.Id)!.Value;
        return reading.AnonymousBytes!.Value + reading.FileBytes!.Value;
    }
}
