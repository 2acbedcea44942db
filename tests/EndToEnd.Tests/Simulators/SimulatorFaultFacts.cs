using System.Net;
using System.Net.Http.Json;
using System.Text;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Simulators;

namespace LlmGateway.EndToEnd.Tests.Simulators;

/// <summary>Each fault of the simulator does what its flag says: other tests build on that.</summary>
public sealed class SimulatorFaultFacts
{
    private static readonly object FiveTokens = new { messages = new[] { new { role = "user", content = "hello" } }, stream = true, max_tokens = 5 };
    private static readonly object Endless = new { messages = new[] { new { role = "user", content = "hello" } }, stream = true, max_tokens = 5000 };

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("reset", false)]
    [InlineData("close", false)]
    [InlineData("half-close", false)]
    [InlineData("end", true)]
    [InlineData("half-end", true)]
    public async Task Drop_AfterThreeTokens_SendsThreeAndBreaksAsAsked(string how, bool isCleanEnd)
    {
        await using var simulator = await SimulatorProcess.StartAsync(Cancellation, "--sim-drop-after-tokens", "3", "--sim-drop-by", how);

        var (body, isWhole) = await StreamAsync(simulator, FiveTokens);

        Assert.Equal(isCleanEnd, isWhole);

        // The role and three tokens. A reset may overtake what its receiver has not read yet.
        Assert.InRange(body.Split("\n\n").Count(e => e.StartsWith("data: {", StringComparison.Ordinal) && e.EndsWith('}')), how == "reset" ? 0 : 4, 4);
        Assert.Equal(how.StartsWith("half", StringComparison.Ordinal), body.EndsWith("\"cont", StringComparison.Ordinal));
        Assert.DoesNotContain("[DONE]", body, StringComparison.Ordinal);
        await simulator.ClearFaultsAsync(Cancellation);
        Assert.EndsWith("data: [DONE]\n\n", (await StreamAsync(simulator, FiveTokens)).Body, StringComparison.Ordinal);
        Assert.Equal(0, (await simulator.GetStateAsync(Cancellation)).Processing);
    }

    [Theory]
    [InlineData("reset")]
    [InlineData("malformed")]
    [InlineData("bad-chunk")]
    [InlineData("short-body")]
    [InlineData("huge-headers")]
    public async Task Inference_Broken_IsNoAnswer(string how)
    {
        await using var simulator = await SimulatorProcess.StartAsync(Cancellation, "--sim-inference", how);

        await Assert.ThrowsAsync<HttpRequestException>(async () =>
        {
            using var response = await simulator.Client.PostAsJsonAsync("v1/chat/completions", FiveTokens, Cancellation);
            await response.Content.ReadAsStringAsync(Cancellation);
        });

        Assert.Equal("{\"status\":\"ok\"}", await simulator.Client.GetStringAsync(new Uri("health", UriKind.Relative), Cancellation));
    }

    [Fact]
    public async Task Frozen_StopsTokensButNotMonitoring()
    {
        await using var simulator = await SimulatorProcess.StartAsync(Cancellation, "--metrics", "--sim-token-rate", "500");
        using var response = await OpenAsync(simulator, Endless);
        await using var stream = await response.Content.ReadAsStreamAsync(Cancellation);
        await simulator.SetFaultsAsync(new { engine = "frozen" }, Cancellation);

        var decoded = await DecodedAsync(simulator);
        Assert.Equal(HttpStatusCode.OK, (await simulator.Client.GetAsync(new Uri("metrics", UriKind.Relative), Cancellation)).StatusCode);
        Assert.InRange(await DecodedAsync(simulator), decoded, decoded + 1);

        await simulator.ClearFaultsAsync(Cancellation);
        await Eventually.TrueAsync(async () => await DecodedAsync(simulator) > decoded + 5, "tokens to move again", Cancellation);
    }

    [Fact]
    public async Task Wedged_AnswersNothingUntilItIsLifted()
    {
        await using var simulator = await SimulatorProcess.StartAsync(Cancellation, "--sim-wedge");

        var health = simulator.Client.GetStringAsync(new Uri("health", UriKind.Relative), Cancellation);
        Assert.True((await simulator.GetStateAsync(Cancellation)).Ready);
        Assert.False(health.IsCompleted);

        await simulator.ClearFaultsAsync(Cancellation);
        Assert.Equal("{\"status\":\"ok\"}", await health);
    }

    [Theory]
    [InlineData(7, "--sim-exit-at", "start", "--sim-exit-code", "7")]
    [InlineData(128 + 11, "--sim-exit-at", "load", "--sim-load-ms", "50", "--sim-exit-signal", "SEGV")]
    [InlineData(128 + 6, "--sim-exit-after-ms", "50", "--sim-exit-signal", "ABRT")]
    public async Task Exit_ByItself_HasTheAskedCause(int code, params string[] arguments)
    {
        await using var process = TestKit.Processes.ChildProcess.Start(SimulatorProcess.Executable, [.. arguments, "--port", "0"]);

        Assert.Equal(code, await process.WaitForExitAsync(Cancellation));
    }

    [Fact]
    public async Task Exit_OnAMarker_LeavesOtherRequestsAlone()
    {
        await using var simulator = await SimulatorProcess.StartAsync(Cancellation, "--sim-exit-on-marker", "POISON", "--sim-token-rate", "1000");
        await StreamAsync(simulator, FiveTokens);
        Assert.False(simulator.Process.HasExited);

        await Assert.ThrowsAsync<HttpRequestException>(() => simulator.Client.PostAsJsonAsync("v1/completions", new { prompt = "some POISON here" }, Cancellation));

        Assert.Equal(1, await simulator.Process.WaitForExitAsync(Cancellation));
    }

    [Fact]
    public async Task IgnoredTermination_NeedsAKill()
    {
        await using var simulator = await SimulatorProcess.StartAsync(Cancellation, "--sim-ignore-sigterm");
        simulator.Process.Signal(15);
        await simulator.GetStateAsync(Cancellation);
        Assert.False(simulator.Process.HasExited);

        simulator.Process.Signal(9);

        Assert.Equal(128 + 9, await simulator.Process.WaitForExitAsync(Cancellation));
    }

    [Fact]
    public async Task StalledLoad_StaysUnavailableUntilItIsLifted()
    {
        await using var simulator = await SimulatorProcess.StartAsync(["--sim-load-ms", "50", "--sim-load-stall-at", "0.5"], waitUntilReady: false, Cancellation);
        await simulator.Process.WaitForLineAsync(l => l.EndsWith("progress = 0.50", StringComparison.Ordinal), Cancellation);
        using var response = await simulator.Client.GetAsync(new Uri("health", UriKind.Relative), Cancellation);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.DoesNotContain(simulator.Process.Lines, l => l.EndsWith("progress = 0.60", StringComparison.Ordinal));

        await simulator.ClearFaultsAsync(Cancellation);

        await simulator.WaitUntilReadyAsync(Cancellation);
    }

    [Fact]
    public async Task LeakedSlots_StayBusyUntilTheFaultIsLifted()
    {
        await using var simulator = await SimulatorProcess.StartAsync(Cancellation, "-np", "2", "--sim-leak-slots", "1", "--sim-token-rate", "1000");
        await StreamAsync(simulator, FiveTokens);
        Assert.Equal(1, (await simulator.GetStateAsync(Cancellation)).Processing);

        await simulator.ClearFaultsAsync(Cancellation);

        await Eventually.TrueAsync(async () => (await simulator.GetStateAsync(Cancellation)).Processing == 0, "the slot to come back", Cancellation);
    }

    [Fact]
    public async Task SplitCharacters_ArriveInSeparateChunksAndAreWholeTogether()
    {
        await using var simulator = await SimulatorProcess.StartAsync(Cancellation, "--sim-split-utf8", "--sim-token-rate", "1000");

        var (body, isWhole) = await StreamAsync(simulator, FiveTokens);

        Assert.True(isWhole);
        Assert.Equal(6, body.Split("é漢").Length);
        Assert.DoesNotContain('\uFFFD', body);
    }

    [Fact]
    public async Task Comments_KeepTheirPeriod()
    {
        await using var simulator = await SimulatorProcess.StartAsync(Cancellation, "--sim-comment-ms", "20", "--sim-token-rate", "20");

        var (body, _) = await StreamAsync(simulator, FiveTokens);

        Assert.InRange(body.Split("\n\n").Count(e => e == ":"), 4, 20);
        Assert.EndsWith("data: [DONE]\n\n", body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task BadLog_IsWrittenAsItIs()
    {
        await using var simulator = await SimulatorProcess.StartAsync(Cancellation);

        await simulator.SetFaultsAsync(new { badLog = true }, Cancellation);

        var line = await simulator.Process.WaitForLineAsync(l => l.Length > 1_000_000, Cancellation);
        Assert.Equal(9_999_999, line.Length);
        Assert.Contains(simulator.Process.Lines, l => l.Contains("NUL \0 inside", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Faults_UnknownOrWrong_AreRefusedAndChangeNothing()
    {
        await using var simulator = await SimulatorProcess.StartAsync(Cancellation);

        await Assert.ThrowsAsync<ArgumentException>(() => simulator.SetFaultsAsync(new { tokenRate = 1, nope = 1 }, Cancellation));
        await Assert.ThrowsAsync<ArgumentException>(() => simulator.SetFaultsAsync(new { tokenRate = 1, dropBy = "nope" }, Cancellation));

        Assert.Contains("\"tokenRate\":50,", await simulator.Client.GetStringAsync(new Uri("sim/faults", UriKind.Relative), Cancellation), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Text_OfTwoProcesses_IsTheSame()
    {
        await using var one = await SimulatorProcess.StartAsync(Cancellation, "--sim-token-rate", "1000");
        await using var two = await SimulatorProcess.StartAsync(Cancellation, "--sim-token-rate", "1000");
        var prompt = new { prompt = "once upon a time", n_predict = 20 };

        var texts = await Task.WhenAll(new[] { one, two }.Select(async s =>
        {
            using var response = await s.Client.PostAsJsonAsync("completion", prompt, Cancellation);
            return (await response.Content.ReadFromJsonAsync<System.Text.Json.JsonElement>(Cancellation)).GetProperty("content").GetString();
        }));

        Assert.Equal(texts[0], texts[1]);
    }

    private static async Task<int> DecodedAsync(SimulatorProcess simulator)
    {
        var slots = await simulator.Client.GetFromJsonAsync<System.Text.Json.JsonElement>("slots", Cancellation);
        return slots.EnumerateArray().Where(s => s.GetProperty("is_processing").GetBoolean()).Sum(s => s.GetProperty("next_token")[0].GetProperty("n_decoded").GetInt32());
    }

    private static async Task<HttpResponseMessage> OpenAsync(SimulatorProcess simulator, object body)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "v1/chat/completions") { Content = JsonContent.Create(body) };
        return await simulator.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancellation);
    }

    /// <returns>What came, and whether HTTP says that it is all.</returns>
    private static async Task<(string Body, bool IsWhole)> StreamAsync(SimulatorProcess simulator, object body)
    {
        using var response = await OpenAsync(simulator, body);
        await using var stream = await response.Content.ReadAsStreamAsync(Cancellation);
        using var received = new MemoryStream();
        try
        {
            await stream.CopyToAsync(received, Cancellation);
            return (Encoding.UTF8.GetString(received.ToArray()), true);
        }
        catch (Exception e) when (e is IOException or HttpRequestException)
        {
            return (Encoding.UTF8.GetString(received.ToArray()), false);
        }
    }
}
