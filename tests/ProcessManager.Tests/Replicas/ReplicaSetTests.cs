using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;
using LlmGateway.ProcessManager.Tests.Fakes;

namespace LlmGateway.ProcessManager.Tests.Replicas;

public sealed class ReplicaSetTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Start_ServerComesUp_IsReadyWithItsOwnSlotsAndStopsWithoutRest()
    {
        using var server = new ScriptServer();
        server.Set("loading");
        await using var test = new ReplicaSetUnderTest(server.Options() with { Replicas = 2, Slots = 3 });

        test.Set.Start();
        await test.UntilAsync(status => status is { Index: 1, State: ReplicaState.Loading });
        server.Clear("loading");
        var first = await test.UntilAsync(status => status is { Index: 0, State: ReplicaState.Ready });
        var second = await test.UntilAsync(status => status is { Index: 1, State: ReplicaState.Ready });

        Assert.Equal(3, first.Slots);
        Assert.True(first.IsRoutable);
        Assert.NotEqual(first.Address, second.Address);
        Assert.Equal(64, first.ApiKey?.Length);
        Assert.NotEqual(first.ApiKey, second.ApiKey);
        Assert.DoesNotContain(test.Set.LogTail(0, 100).Concat(test.Loggers.Lines), line => line.Contains(first.ApiKey!, StringComparison.Ordinal));

        await test.Set.StopAsync(Ct);
        Assert.All(test.Set.Statuses, status => Assert.Equal((ReplicaState.Stopped, null, 0), (status.State, status.Pid, status.Slots)));
        Assert.Empty(ProcFs.Group(first.Pid!.Value));
        Assert.Empty(ProcFs.Group(second.Pid!.Value));
    }

    [Fact]
    public async Task Crash_LeavesReadyFirstAndComesBackAsNextGeneration()
    {
        using var server = new ScriptServer();
        await using var test = new ReplicaSetUnderTest(server.Options());
        test.Set.Start();
        var first = await test.UntilAsync(ReplicaState.Ready);

        Process.GetProcessById(first.Pid!.Value).Kill();
        var back = await test.UntilAsync(status => status is { State: ReplicaState.Ready, Generation: 2 });

        Assert.Equal((9, ExitCause.ExternalKill), (back.LastExit!.Signal, back.LastExit.Cause));
        Assert.Equal((1, 1), (back.Restarts, back.RestartsInWindow));
        Assert.NotEqual(first.ApiKey, back.ApiKey);
        Assert.Equal(
            [ReplicaState.Ready, ReplicaState.Killing, ReplicaState.Backoff, ReplicaState.Queued],
            test.States.Where(state => state is not ReplicaState.NotReady) // a probe may be quicker than the exit
                .SkipWhile(state => state is not ReplicaState.Ready).Distinct().Take(4));
    }

    [Fact]
    public async Task Start_UnixSocket_IsReadyAndLeavesNoFile()
    {
        using var server = new ScriptServer();
        var options = server.Options() with { Transport = ReplicaTransport.Unix };
        var test = new ReplicaSetUnderTest(options, manager: new() { RuntimeDirectory = server.Folder });
        string path;
        await using (test)
        {
            test.Set.Start();
            path = (await test.UntilAsync(ReplicaState.Ready)).Address!.UnixSocketPath!;
            Assert.True(File.Exists(path));
        }

        Assert.False(Directory.Exists(Path.GetDirectoryName(path)));
    }

    [Fact]
    public async Task Start_CommandWithTcpProbe_IsReadyWithOneSlotAndNoKey()
    {
        using var server = new ScriptServer();
        await using var test = new ReplicaSetUnderTest(server.Options(ReplicaKind.Command));
        test.Set.Start();
        var ready = await test.UntilAsync(ReplicaState.Ready);
        Assert.Equal((1, null), (ready.Slots, ready.ApiKey));
    }

    [Fact]
    public async Task Readiness_FailsAndRecovers_GatesTrafficAndKeepsTheProcess()
    {
        using var server = new ScriptServer();
        await using var test = new ReplicaSetUnderTest(server.Options());
        test.Set.Start();
        var ready = await test.UntilAsync(ReplicaState.Ready);

        server.Set("unhealthy");
        var failing = await test.UntilAsync(ReplicaState.NotReady);
        Assert.Equal(("failing", false, ready.Pid), (failing.Probes.Readiness, failing.IsRoutable, failing.Pid));

        server.Clear("unhealthy");
        var back = await test.UntilAsync(status => status is { State: ReplicaState.Ready, Probes.Readiness: "passing" });
        Assert.Equal((1, ready.Pid), (back.Generation, back.Pid));
    }

    [Fact]
    public async Task Fault4_CrashLoop_BudgetSpent_FailsAndResetStartsAgain()
    {
        using var server = new ScriptServer();
        server.Set("exit-code", "3");
        var options = server.Options();
        await using var test = new ReplicaSetUnderTest(options with { Restart = options.Restart with { MaxRestarts = 2, OnExhausted = RestartExhausted.Hold } });
        test.Set.Start();

        var failed = await test.UntilAsync(ReplicaState.Failed);
        Assert.Equal((3, 2, 2), (failed.Generation, failed.RestartsInWindow, failed.Restarts));
        Assert.Equal((3, ExitCause.Crash, false), (failed.LastExit!.Code, failed.LastExit.Cause, failed.IsComing));
        Assert.Equal(["key is [key]", "bye"], failed.LastExit.Log);

        server.Clear("exit-code");
        await test.Set.CommandAsync(0, ReplicaVerb.Reset, Ct);
        Assert.Equal((ReplicaState.Ready, 0), (test.Set.Statuses[0].State, test.Set.Statuses[0].RestartsInWindow));
    }

    [Fact]
    public async Task Start_ModelCannotBeLoaded_FailsAfterASecondLookWithAdvice()
    {
        using var server = new ScriptServer();
        server.Set("exit-code", "1");
        server.Set("last-words", "E srv  llama_server: exiting due to model loading error\n");
        await using var test = new ReplicaSetUnderTest(server.Options());
        test.Set.Start();

        var failed = await test.UntilAsync(ReplicaState.Failed);
        Assert.Equal((2, ExitCause.ModelInvalid, null), (failed.Generation, failed.LastExit!.Cause, failed.NextTryAt));
        Assert.Contains("exiting due to model loading error", failed.NotRoutableBecause, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Fault1_ProgramAppears_IsStartedByItself()
    {
        using var server = new ScriptServer();
        var program = Path.Combine(server.Folder, "later");
        await using var test = new ReplicaSetUnderTest(server.Options() with { Executable = program });
        test.Set.Start();
        await test.UntilAsync(ReplicaState.Failed);

        File.Copy(server.Program, program); // with its mode
        var ready = await test.UntilAsync(ReplicaState.Ready);
        Assert.Equal((2, 0), (ready.Generation, ready.RestartsInWindow));
    }

    [Fact]
    public async Task Start_ProgramMissing_FailsWithoutAProcess()
    {
        using var server = new ScriptServer();
        await using var test = new ReplicaSetUnderTest(server.Options() with { Executable = "/no/such/llama-server" });
        test.Set.Start();

        var failed = await test.UntilAsync(ReplicaState.Failed);
        Assert.Equal((ExitCause.PermanentConfig, null), (failed.LastExit!.Cause, failed.LastExit.Code));
        Assert.Contains("/no/such/llama-server", failed.NotRoutableBecause, StringComparison.Ordinal);
        Assert.DoesNotContain(test.History, status => status.Pid is not null);
    }

    [Fact]
    public async Task Start_StrangerHoldsThePort_IsNeverTakenForOurs()
    {
        using var server = new ScriptServer();
        var options = server.Options();
        using var stranger = new TcpListener(IPAddress.Loopback, options.FirstPort);
        stranger.Start();

        // A program that never listens: only the stranger could answer for it.
        var deaf = server.Write("deaf", "#!/bin/sh\nexec sleep 1000\n");
        await using var test = new ReplicaSetUnderTest(
            options with { Executable = deaf, Kind = ReplicaKind.Command, Args = [], Startup = options.Startup with { Kind = LlmGateway.Probes.ProbeKind.Tcp } },
            blindPorts: true);
        test.Set.Start();

        var next = await test.UntilAsync(status => status.Generation == 2 && status.Address is not null);
        Assert.Equal((ExitCause.PortConflict, 0), (next.LastExit!.Cause, next.RestartsInWindow));
        Assert.NotEqual(options.FirstPort, next.Address!.BaseUri.Port);
        Assert.DoesNotContain(ReplicaState.Ready, test.States);
    }

    [Fact]
    public async Task Start_PortTakenWhenItBinds_ComesUpOnAnotherOneAtNoCost()
    {
        using var server = new ScriptServer();
        var options = server.Options();
        using var stranger = new TcpListener(IPAddress.Loopback, options.FirstPort);
        stranger.Start();
        await using var test = new ReplicaSetUnderTest(options, blindPorts: true);
        test.Set.Start();

        var ready = await test.UntilAsync(ReplicaState.Ready);
        Assert.Equal((2, 0, ExitCause.PortConflict), (ready.Generation, ready.RestartsInWindow, ready.LastExit!.Cause));
    }

    [Fact]
    public async Task Fault67_Start_ServerOfAnotherName_IsAPortConflict()
    {
        using var server = new ScriptServer();
        server.Set("alias");
        await using var test = new ReplicaSetUnderTest(server.Options());
        test.Set.Start();
        var next = await test.UntilAsync(status => status.LastExit is not null);
        Assert.Equal(ExitCause.PortConflict, next.LastExit!.Cause);
    }

    [Fact]
    public async Task Start_NoProgress_IsKilledAndCounted()
    {
        using var server = new ScriptServer();
        var deaf = server.Write("deaf", "#!/bin/sh\nexec sleep 1000\n");
        var options = server.Options();
        await using var test = new ReplicaSetUnderTest(
            options with { Executable = deaf, Startup = options.Startup with { StallTimeout = TimeSpan.FromMilliseconds(300) } });
        test.Set.Start();
        var backoff = await test.UntilAsync(ReplicaState.Backoff);
        Assert.Equal((ExitCause.StartTimeout, 9), (backoff.LastExit!.Cause, backoff.LastExit.Signal));
    }

    [Fact]
    public async Task Stop_RequestsRun_DrainsThenDropsThenTerminates()
    {
        using var server = new ScriptServer();
        var traffic = new FakeTraffic(busy: true);
        await using var test = new ReplicaSetUnderTest(server.Options(), traffic);
        test.Set.Start();
        await test.UntilAsync(ReplicaState.Ready);

        var stop = test.Set.StopAsync(Ct);
        var draining = await test.UntilAsync(ReplicaState.Draining);
        Assert.False(draining.IsRoutable);
        Assert.False(stop.IsCompleted);

        traffic.Finish();
        await stop;
        Assert.Equal(["drain m/0 1", "drop m/0 1"], traffic.Calls);
        Assert.Equal((15, ExitCause.Requested), (test.Set.Statuses[0].LastExit!.Signal, test.Set.Statuses[0].LastExit!.Cause));
    }

    [Fact]
    public async Task Stop_Hurried_SkipsDrainAndGraceButNotTheEnd()
    {
        using var server = new ScriptServer();
        server.Set("ignore-term");
        await using var test = new ReplicaSetUnderTest(server.Options() with { Replicas = 2 }, new FakeTraffic(busy: true));
        test.Set.Start();
        var pid = (await test.UntilAsync(ReplicaState.Ready)).Pid!.Value;

        await test.Set.StopAsync(new CancellationToken(canceled: true));
        Assert.All(test.Set.Statuses, status => Assert.Equal(ReplicaState.Stopped, status.State));
        Assert.Empty(ProcFs.Group(pid));
    }

    [Fact]
    public async Task Stop_HurriedWhileItDrains_GoesOnAtOnce()
    {
        using var server = new ScriptServer();
        var traffic = new FakeTraffic(busy: true);
        await using var test = new ReplicaSetUnderTest(server.Options(), traffic);
        test.Set.Start();
        await test.UntilAsync(ReplicaState.Ready);

        using var hurry = new CancellationTokenSource();
        var stop = test.Set.StopAsync(hurry.Token);
        await test.UntilAsync(ReplicaState.Draining);
        Assert.Throws<InvalidOperationException>(test.Set.Start);
        await Assert.ThrowsAsync<InvalidOperationException>(() => test.Set.CommandAsync(0, ReplicaVerb.Resume, Ct));
        await hurry.CancelAsync();
        await stop;

        Assert.Equal((ReplicaState.Stopped, 9), (test.Set.Statuses[0].State, test.Set.Statuses[0].LastExit!.Signal));
        Assert.Contains("drop m/0 1", traffic.Calls);
    }

    [Fact]
    public async Task Command_WaitCancelled_GoesOnWithoutTheCaller()
    {
        using var server = new ScriptServer();
        var traffic = new FakeTraffic(busy: true);
        await using var test = new ReplicaSetUnderTest(server.Options(), traffic);
        test.Set.Start();
        await test.UntilAsync(ReplicaState.Ready);

        using var patience = new CancellationTokenSource();
        var stop = test.Set.CommandAsync(0, ReplicaVerb.Stop, patience.Token);
        await test.UntilAsync(ReplicaState.Draining);
        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => stop);
        traffic.Finish();
        await test.UntilAsync(ReplicaState.Stopped);
    }

    [Fact]
    public async Task Command_AfterDispose_SaysSo()
    {
        using var server = new ScriptServer();
        var test = new ReplicaSetUnderTest(server.Options());
        test.Set.Start();
        await test.UntilAsync(ReplicaState.Ready);
        await test.DisposeAsync();
        await test.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => test.Set.CommandAsync(0, ReplicaVerb.Start, Ct));
    }

    [Fact]
    public void Create_ProbeThatAsksNothing_IsRefused()
    {
        using var server = new ScriptServer();
        Assert.Throws<ArgumentException>(() => new ReplicaSetUnderTest(server.Options() with { Startup = new() { Kind = LlmGateway.Probes.ProbeKind.Progress } }));
    }

    [Fact]
    public async Task Status_Printed_HoldsNoKey()
    {
        using var server = new ScriptServer();
        await using var test = new ReplicaSetUnderTest(server.Options());
        test.Set.Start();
        var ready = await test.UntilAsync(ReplicaState.Ready);
        Assert.DoesNotContain(ready.ApiKey!, ready.ToString() + System.Text.Json.JsonSerializer.Serialize(ready), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Fault24_Stop_ProcessIgnoresTerm_IsKilledAfterItsGrace()
    {
        using var server = new ScriptServer();
        server.Set("ignore-term");
        await using var test = new ReplicaSetUnderTest(server.Options() with { StopTimeout = TimeSpan.FromMilliseconds(100) });
        test.Set.Start();
        await test.UntilAsync(ReplicaState.Ready);
        await test.Set.CommandAsync(0, ReplicaVerb.Stop, Ct);

        Assert.Equal(9, test.Set.Statuses[0].LastExit!.Signal);
        Assert.Equal([ReplicaState.Stopping, ReplicaState.Killing, ReplicaState.Stopped], test.States.Distinct().TakeLast(3));
    }

    [Fact]
    public async Task Stop_StoppedProcess_HearsTheTerm()
    {
        using var server = new ScriptServer();
        await using var test = new ReplicaSetUnderTest(server.Options());
        test.Set.Start();
        var pid = (await test.UntilAsync(ReplicaState.Ready)).Pid!.Value;
        using (var freeze = Process.Start("kill", ["-STOP", $"{pid}"]))
        {
            await freeze.WaitForExitAsync(Ct);
        }

        await test.Set.CommandAsync(0, ReplicaVerb.Stop, Ct);
        Assert.Equal(15, test.Set.Statuses[0].LastExit!.Signal);
    }

    [Fact]
    public async Task Crash_GrandchildHoldsTheOutput_IsNoticedAtOnceAndLeavesNobody()
    {
        using var server = new ScriptServer();
        server.Set("grandchild");
        await using var test = new ReplicaSetUnderTest(server.Options());
        test.Set.Start();
        var first = await test.UntilAsync(ReplicaState.Ready);
        Assert.Equal(2, ProcFs.Group(first.Pid!.Value).Length);

        Process.GetProcessById(first.Pid.Value).Kill();
        await test.UntilAsync(status => status.Generation == 2);
        Assert.Empty(ProcFs.Group(first.Pid.Value));
    }

    [Fact]
    public async Task Commands_RestartDrainResumeStopStart_DoWhatTheySay()
    {
        using var server = new ScriptServer();
        await using var test = new ReplicaSetUnderTest(server.Options());
        test.Set.Start();
        await test.UntilAsync(ReplicaState.Ready);

        await test.Set.CommandAsync(0, ReplicaVerb.Restart, Ct);
        Assert.Equal((ReplicaState.Ready, 2, 1, 0), (Now().State, Now().Generation, Now().Restarts, Now().RestartsInWindow));
        await test.Set.CommandAsync(0, ReplicaVerb.Drain, Ct);
        Assert.Equal(ReplicaState.Draining, Now().State);
        await test.Set.CommandAsync(0, ReplicaVerb.Resume, Ct);
        Assert.Equal((ReplicaState.Ready, 2), (Now().State, Now().Generation));
        await test.Set.CommandAsync(0, ReplicaVerb.Stop, Ct);
        Assert.Equal((ReplicaState.Stopped, "It is stopped."), (Now().State, Now().NotRoutableBecause));
        await test.Set.CommandAsync(0, ReplicaVerb.Start, Ct);
        Assert.Equal((ReplicaState.Ready, 3), (Now().State, Now().Generation));
        await test.Set.StopAsync(Ct);
        test.Set.Start();
        await test.UntilAsync(status => status is { State: ReplicaState.Ready, Generation: 4 });

        ReplicaStatus Now() => test.Set.Statuses[0];
    }

    [Fact]
    public async Task Start_OnePermit_StartsOneAtATime()
    {
        using var server = new ScriptServer();
        server.Set("loading");
        await using var test = new ReplicaSetUnderTest(server.Options() with { Replicas = 3 }, manager: new() { StartPermits = 1 });
        test.Set.Start();
        await test.UntilAsync(ReplicaState.Loading);
        Assert.Equal(2, test.Set.Statuses.Count(status => status.State is ReplicaState.Queued or ReplicaState.Stopped));

        server.Clear("loading");
        for (var i = 0; i < 3; i++)
        {
            var index = i;
            await test.UntilAsync(status => status.Index == index && status.State is ReplicaState.Ready);
        }

        // Never two between launch and ready.
        var starting = new HashSet<int>();
        foreach (var status in test.History)
        {
            _ = status.State is ReplicaState.Starting or ReplicaState.Loading or ReplicaState.Warming ? starting.Add(status.Index) : starting.Remove(status.Index);
            Assert.InRange(starting.Count, 0, 1);
        }
    }

    [Fact]
    public async Task StatusChanged_ListenerThrows_SupervisionGoesOn()
    {
        using var server = new ScriptServer();
        await using var test = new ReplicaSetUnderTest(server.Options());
        test.Set.StatusChanged += _ => throw new InvalidOperationException("listener");
        test.Set.Start();
        await test.UntilAsync(ReplicaState.Ready);
        Assert.Contains(test.Loggers.Lines, line => line.StartsWith("Error 2021", StringComparison.Ordinal));
    }
}
