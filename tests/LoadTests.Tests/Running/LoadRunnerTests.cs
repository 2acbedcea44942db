using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Running;
using LlmGateway.LoadTests.Scenarios;
using Microsoft.AspNetCore.Http;

namespace LlmGateway.LoadTests.Tests.Running;

public sealed class LoadRunnerTests
{
    private const string Answer = """{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}""";

    [Fact]
    public async Task RunAsync_ServerAnswersNobodyUntilAllHaveCome_SendsAllAndCountsTheWholeWait()
    {
        const int Requests = 20;
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var come = 0;
        await using var server = await FakeServer.StartAsync(async http =>
        {
            if (Interlocked.Increment(ref come) == Requests)
            {
                all.SetResult();
            }

            await all.Task.WaitAsync(http.RequestAborted);
            await http.Response.WriteAsync(Answer);
        });

        // 50 a second for 0.4 s: a runner that waited for an answer would never send the twentieth.
        var tally = (await RunAsync(server, new OpenStage("open", TimeSpan.FromSeconds(0.4), 1, 1, ArrivalPattern.Fixed))).Whole();

        Assert.Equal(Requests, tally.Outcomes[(int)Outcome.Ok]);
        Assert.Equal(Requests, tally.Outcomes.Sum());
        Assert.True(tally.Total.Percentile(100) >= 379, $"the first waited for the last, 380 ms later, but shows {tally.Total.Percentile(100)} ms");
    }

    [Fact]
    public async Task RunAsync_ClosedLoop_NeverHasMoreAtOnceThanWorkers()
    {
        var (now, most) = (0, 0);
        await using var server = await FakeServer.StartAsync(async http =>
        {
            var at = Interlocked.Increment(ref now);
            most = Math.Max(most, at);
            await Task.Yield();
            Interlocked.Decrement(ref now);
            await http.Response.WriteAsync(Answer);
        });

        var tally = (await RunAsync(server, new ClosedStage("closed", TimeSpan.FromSeconds(0.3), 3))).Whole();

        Assert.InRange(most, 1, 3);
        Assert.True(tally.Outcomes[(int)Outcome.Ok] >= 3);
        Assert.Equal(tally.Outcomes.Sum(), tally.Outcomes[(int)Outcome.Ok]);
    }

    [Fact]
    public async Task RunAsync_MoreAtOnceThanAllowed_CountsThemAsNotSent()
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = await FakeServer.StartAsync(async http =>
        {
            await release.Task.WaitAsync(http.RequestAborted);
            await http.Response.WriteAsync(Answer);
        });

        using var client = new OpenAiClient(server.Url, "m", [], isTextChecked: false);
        var runner = new LoadRunner(Scenario(new OpenStage("open", TimeSpan.FromSeconds(0.2), 1, 1, ArrivalPattern.Fixed)), client, maxInFlight: 2);
        var run = runner.RunAsync(TestContext.Current.CancellationToken);
        await TestKit.Eventually.TrueAsync(() => runner.Measurements?.Ended()[(int)Outcome.NotSent] == 8, "8 not sent", TestContext.Current.CancellationToken);
        release.SetResult();

        Assert.Equal(2, (await run).Whole().Outcomes[(int)Outcome.Ok]);
    }

    [Fact]
    public async Task RunAsync_Conversation_SendsTheHistoryAlong()
    {
        var lengths = new List<long>();
        await using var server = await FakeServer.StartAsync(http =>
        {
            lock (lengths)
            {
                lengths.Add(http.Request.ContentLength ?? 0);
            }

            return http.Response.WriteAsync(Answer);
        });

        var scenario = Scenario(new OpenStage("chat", TimeSpan.FromSeconds(0.02), 1, 1, ArrivalPattern.Fixed));
        using var client = new OpenAiClient(server.Url, "m", [], isTextChecked: false);
        await new LoadRunner(scenario with { Mix = scenario.Mix with { Turns = Distribution.Fixed(3) } }, client, 100).RunAsync(TestContext.Current.CancellationToken);

        Assert.Equal(3, lengths.Count);
        Assert.True(lengths[0] < lengths[1] && lengths[1] < lengths[2], string.Join(" < ", lengths));
    }

    private static async Task<LoadTests.Measuring.Measurements> RunAsync(FakeServer server, Stage stage)
    {
        using var client = new OpenAiClient(server.Url, "m", [], isTextChecked: false);
        return await new LoadRunner(Scenario(stage), client, maxInFlight: 100).RunAsync(TestContext.Current.CancellationToken);
    }

    private static Scenario Scenario(Stage stage) => new("test", "", [stage], new RequestMix { StreamShare = 0 }) { Rate = 50, Patience = TimeSpan.FromSeconds(20) };
}
