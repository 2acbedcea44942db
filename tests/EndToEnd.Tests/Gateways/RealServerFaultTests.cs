using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using LlmGateway.TestKit.Gateways;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Faults of <c>docs/faults.md</c> on the real llama-server.</summary>
[Trait("Suite", "Real")]
public sealed class RealServerFaultTests
{
    private const int Limit = 180_000;
    private const int SigKill = 9;
    private const int SigTerm = 15;
    private const int SigStop = 19;

    public RealServerFaultTests() => RealServer.SkipIfAbsent();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Fault10_MainThreadHeld_IsReplacedAlthoughItsEndpointsAnswer()
    {
        // Two replicas on few cores: one thread each, so nothing spins for the one that is held.
        await using var gateway = await StartAsync(RealServer.MediumModel!, replicas: 2, args: """ "-t", "1" """);
        var before = await gateway.UntilReadyAsync(Ct);
        using var stream = await gateway.Data.StreamAsync("noise", 1500, Ct);
        await stream.ReadAsync(3, Ct);
        var victim = before.Replica(stream.Backend!);

        using (await HeldThread.HoldAsync(victim.Pid!.Value, Ct))
        {
            using var client = new HttpClient { BaseAddress = new Uri(victim.Address!) };
            using var health = await client.GetAsync(new Uri("health", UriKind.Relative), Ct);
            Assert.Equal(HttpStatusCode.OK, health.StatusCode); // green, and yet frozen

            // The other replica says the rest.
            await stream.ReadToEndAsync(Ct);
            Assert.True(stream.IsWhole, stream.ToString());
            await UntilReplacedAsync(gateway, victim, "hung");
        }

        using var next = await gateway.Data.ChatAsync("noise", 2, Ct);
        Assert.Equal(HttpStatusCode.OK, next.StatusCode);
    }

    [Fact(Timeout = Limit)]
    public async Task Fault9_Stopped_GetsSigcontAndItsStreamGoesOn()
    {
        await using var gateway = await StartAsync(RealServer.MediumModel!, replicas: 1);
        var before = (await gateway.UntilReadyAsync(Ct)).Replica("noise/0");
        using var stream = await gateway.Data.StreamAsync("noise", 200, Ct);
        await stream.ReadAsync(3, Ct);

        ChildProcess.Signal(before.Pid!.Value, SigStop);
        await gateway.UntilAsync(status => status.Replica("noise/0").State == "not_ready", "not ready", Ct, TimeSpan.FromSeconds(6));
        await stream.ReadToEndAsync(Ct);

        Assert.True(stream.IsWhole, stream.ToString());
        var after = await gateway.UntilAsync(status => status.Replica("noise/0").State == "ready", "ready", Ct);
        Assert.Equal(before.Pid, after.Replica("noise/0").Pid);

        // Again and again: once it is stopped soon after a SIGCONT, it is replaced.
        while (after.Replica("noise/0").Pid == before.Pid)
        {
            ChildProcess.Signal(before.Pid!.Value, SigStop);
            await gateway.UntilAsync(status => status.Replica("noise/0") is var replica && (replica.State != "ready" || replica.Pid != before.Pid), "not ready", Ct);
            after = await gateway.UntilAsync(status => status.Replica("noise/0").State == "ready", "ready", Ct);
        }

        Assert.Equal("hung", after.Replica("noise/0").LastExit!.Cause);
    }

    [Fact(Timeout = Limit)]
    public async Task Fault11_LongPrompt_IsNotKilled()
    {
        // One batch of the whole prompt: seconds without a byte or a counter, far more than the stall timeout.
        await using var gateway = await StartAsync(RealServer.MediumModel!, replicas: 1, args: """ "-b", "2048", "-ub", "2048", "-t", "1" """, stall: "1s", context: 8192);
        var before = (await gateway.UntilReadyAsync(Ct)).Replica("noise/0");
        var body = Conversation.ChatBody("noise", 2, stream: false);
        body["messages"]![0]!["content"] = string.Join(' ', Enumerable.Range(0, 400).Select(i => $"word{i}"));

        using var answer = await gateway.Data.PostAsJsonAsync("v1/chat/completions", body, Ct);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(before.Pid, (await gateway.StatusAsync(Ct)).Replica("noise/0").Pid);
    }

    [Theory(Timeout = Limit)]
    [InlineData(SigKill, "external_kill")]
    [InlineData(SigTerm, "unexpected_exit")]
    public async Task Signal_FromOutside_IsToldAndReplaced(int signal, string cause)
    {
        await using var gateway = await StartAsync(RealServer.TinyModel!, replicas: 1);
        var before = (await gateway.UntilReadyAsync(Ct)).Replica("noise/0");
        ChildProcess.Signal(before.Pid!.Value, signal);
        await UntilReplacedAsync(gateway, before, cause);
    }

    [Fact(Timeout = Limit)]
    public async Task Fault2_ModelComesLater_IsLoadedByItself()
    {
        var model = Path.Combine(Path.GetTempPath(), $"llmgw-{Guid.NewGuid():n}.gguf");
        var whole = await File.ReadAllBytesAsync(RealServer.TinyModel!, Ct);
        await File.WriteAllBytesAsync(model, whole[..200_000], Ct);
        try
        {
            await using var gateway = await StartAsync(model, replicas: 1);
            await gateway.UntilAsync(status => status.Replica("noise/0") is { State: "failed", LastExit.Cause: "model_invalid" }, "model_invalid", Ct);

            await File.WriteAllBytesAsync(model, whole, Ct);
            await gateway.UntilReadyAsync(Ct);
        }
        finally
        {
            File.Delete(model);
        }
    }

    [Fact(Timeout = Limit)]
    public async Task Fault19_PortTakenByAStranger_AnotherIsTaken()
    {
        await using var gateway = await StartAsync(RealServer.TinyModel!, replicas: 1);
        var before = (await gateway.UntilReadyAsync(Ct)).Replica("noise/0");

        // The first port of its range is now its own; a stranger takes the next one, as if it had been quicker.
        var port = new Uri(before.Address!).Port;
        using var stranger = new TcpListener(IPAddress.Loopback, port + 1);
        stranger.Start();
        ChildProcess.Signal(before.Pid!.Value, SigKill);

        var after = await UntilReplacedAsync(gateway, before, "external_kill");
        Assert.NotEqual(port + 1, new Uri(after.Address!).Port);
        Assert.False(stranger.Pending()); // nobody asked it anything
    }

    [Theory(Timeout = Limit)]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Fault16_MemoryDoesNotSuffice_IsToldAndWaitedForAndTheGatewayLives(bool byTheKernel)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException("Memory is limited by Linux's means.");
        }

        // Where control groups can't be made, memory is refused instead of taken back: the other way to run out of it.
        using var cage = byTheKernel ? MemoryCage.TryMake(128 << 20) : null;
        var folder = Directory.CreateTempSubdirectory("llmgw-memory-");
        try
        {
            var (server, isTight) = (Path.Combine(folder.FullName, "server"), Path.Combine(folder.FullName, "tight"));
            // The server alone: beside it the kernel may take the gateway too, while the server is still ending (docs/runbooks/out-of-memory.md).
            var tighten = cage is null ? "ulimit -v 300000" : $"echo $$ > {cage.Members}";
            Script.Write(server, $"#!/bin/sh\n[ -e {isTight} ] && {tighten}\nexec {RealServer.Executable} \"$@\"\n");

            // 200 MB of context, taken at its start: there is enough for the first one, and not for the next.
            await using var gateway = await StartAsync(RealServer.TinyModel!, replicas: 1, args: """ "--cache-ram", "0", "--threads-http", "4" """, context: 400_000, executable: server);
            var before = (await gateway.UntilReadyAsync(Ct)).Replica("noise/0");
            await File.WriteAllTextAsync(isTight, "", Ct);
            ChildProcess.Signal(before.Pid!.Value, SigKill);

            var after = await gateway.UntilAsync(
                status => status.Replica("noise/0") is { State: "backoff" or "failed", LastExit.Cause: not "external_kill" }, "its end", Ct, TimeSpan.FromSeconds(60));
            Assert.Equal("oom", after.Replica("noise/0").LastExit!.Cause);
            Assert.True(after.Replica("noise/0").NextTryAt - TimeProvider.System.GetUtcNow() > TimeSpan.FromSeconds(5), "no patience after an end for memory");
            Assert.False(gateway.Process.HasExited);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static async Task<ReplicaPart> UntilReplacedAsync(GatewayProcess gateway, ReplicaPart before, string cause)
    {
        var after = await gateway.UntilAsync(
            status => status.Replica(before.Backend) is { State: "ready", Pid: var pid } && pid != before.Pid, $"{before.Backend} to be replaced", Ct, TimeSpan.FromSeconds(60));
        Assert.Equal(cause, after.Replica(before.Backend).LastExit!.Cause);
        return after.Replica(before.Backend);
    }

    private static Task<GatewayProcess> StartAsync(string model, int replicas, string args = "", string stall = "4s", int context = 4096, string? executable = null) => GatewayProcess.StartAsync(
        $$"""
        { "Models": { "noise": {
            "Executable": "{{executable ?? RealServer.Executable}}", "Args": ["-m", "{{model}}", "-c", "{{context}}"{{(args.Length > 0 ? "," + args : "")}}],
            "Replicas": {{replicas}}, "Slots": 1, "Restart": { "InitialBackoff": "100ms" },
            "Probes": { "Readiness": { "Period": "500ms" }, "Liveness": { "Period": "3s", "StallTimeout": "{{stall}}" } } } } }
        """,
        Ct);
}
