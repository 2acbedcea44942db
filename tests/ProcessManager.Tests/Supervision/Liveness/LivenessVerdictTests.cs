using CsCheck;
using LlmGateway.Probes.LlamaServer;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Supervision.Liveness;

namespace LlmGateway.ProcessManager.Tests.Supervision.Liveness;

public sealed class LivenessVerdictTests
{
    private static readonly LivenessLimits Limits = new(
        Stall: TimeSpan.FromSeconds(60), FirstToken: TimeSpan.FromSeconds(600), Silence: TimeSpan.FromSeconds(300), Unanswered: 6);

    [Fact]
    public void Fault10_FrozenBehindGreenEndpoints_IsHungAfterTheStallTimeout()
    {
        var server = new Server { Busy = 1, InFlight = 1 };
        server.Run(100, decode: true);
        Assert.Equal(LivenessHealth.Alive, server.Health);

        server.Run(58);
        Assert.Equal(LivenessHealth.Alive, server.Health);
        server.Run(10);
        Assert.Equal(LivenessHealth.Hung, server.Health);
        Assert.Contains("its CPU stood still", server.Verdict.Finding, StringComparison.Ordinal);
    }

    [Fact]
    public void Fault11_LongPromptOnTheCpu_IsBusyUntilTheFirstTokenIsOverdue()
    {
        var server = new Server { Busy = 1, InFlight = 1, Awaiting = 1, Cpu = 1 };
        server.Run(59);
        Assert.Equal(LivenessHealth.Alive, server.Health);
        server.Run(530);
        Assert.Equal(LivenessHealth.Busy, server.Health);
        server.Run(15);
        Assert.Equal(LivenessHealth.Hung, server.Health);
    }

    [Fact]
    public void Fault11_LongPromptEnds_IsAliveAgain()
    {
        var server = new Server { Busy = 1, InFlight = 1, Awaiting = 1, Cpu = 1 };
        server.Run(300);
        Assert.Equal((LivenessHealth.Busy, true), (server.Health, server.Verdict.IsWorking));
        server.Run(1, bytes: true);
        Assert.Equal(LivenessHealth.Alive, server.Health);
    }

    [Fact]
    public void Spinning_AfterTheFirstToken_IsHungAfterTheLongestSilence()
    {
        var server = new Server { Busy = 1, InFlight = 1, Cpu = 1 };
        server.Run(10, decode: true);
        server.Run(298);
        Assert.Equal(LivenessHealth.Busy, server.Health);
        server.Run(5);
        Assert.Equal(LivenessHealth.Hung, server.Health);
    }

    [Fact]
    public void Fault9_Stopped_IsSentSigcontOnceAndThenHung()
    {
        var server = new Server { IsStopped = true };
        server.Run(4);
        Assert.Equal((LivenessHealth.Stopped, 0), (server.Health, server.Continued));
        server.Run(4);
        Assert.Equal((LivenessHealth.Stopped, 1), (server.Health, server.Continued));
        server.Run(4);
        Assert.Equal((LivenessHealth.Hung, 1), (server.Health, server.Continued));
    }

    [Fact]
    public void Fault9_StoppedAndContinued_IsAliveAndItsClocksStoodStill()
    {
        var server = new Server { Busy = 1, InFlight = 1 };
        server.Run(50);
        server.IsStopped = true;
        server.Run(6);
        server.IsStopped = false;
        server.Run(50);
        Assert.Equal((LivenessHealth.Alive, 1), (server.Health, server.Continued));
    }

    [Fact]
    public void Wedged_WhileIdle_IsHungAfterTheThreshold()
    {
        var server = new Server();
        server.Run(20);
        server.Answer = SlotsAnswer.None;
        server.Run(25);
        Assert.Equal(LivenessHealth.Alive, server.Health);
        server.Run(10);
        Assert.Equal(LivenessHealth.Hung, server.Health);
    }

    [Fact]
    public void Wedged_WhileIdleOnTheCpu_IsBusyAndThenHung()
    {
        var server = new Server { Cpu = 1, Answer = SlotsAnswer.None };
        server.Run(60);
        Assert.Equal(LivenessHealth.Busy, server.Health);
        server.Run(260);
        Assert.Equal(LivenessHealth.Hung, server.Health);
    }

    [Fact]
    public void Slots_NotAnsweredWhileBytesCome_IsAlive()
    {
        // Some builds answer only between two prompts.
        var server = new Server { Busy = 1, InFlight = 1, Answer = SlotsAnswer.None, Cpu = 0 };
        server.Run(600, bytes: true);
        Assert.Equal(LivenessHealth.Alive, server.Health);
    }

    [Fact]
    public void Fault43_SlowReaderHoldsALease_IdleServerIsNotHung()
    {
        var server = new Server { Busy = 0, InFlight = 1 };
        server.Run(600);
        Assert.Equal(LivenessHealth.Alive, server.Health);
    }

    [Fact]
    public void Whole_AnswerOfAServerThatTellsNothing_IsBusyForAsLongAsItUsesCpu()
    {
        var server = new Server { InFlight = 1, Whole = 1, Cpu = 1, Answer = SlotsAnswer.NotOffered };
        server.Run(3000);
        Assert.Equal(LivenessHealth.Busy, server.Health);
    }

    [Fact]
    public void Fault66_FewSlotsLeak_AreTakenOutAndTheServerLives()
    {
        var server = new Server { Busy = 2, InFlight = 0 };
        server.Run(300);
        Assert.Equal((LivenessHealth.Alive, 2), (server.Health, server.Verdict.Leaked));
    }

    [Fact]
    public void Fault66_MostSlotsLeak_IsHungOnceIdle()
    {
        var server = new Server { Busy = 4, InFlight = 1 };
        server.Run(100, bytes: true);
        Assert.Equal((LivenessHealth.Alive, 3), (server.Health, server.Verdict.Leaked));
        server.Busy = 3;
        server.InFlight = 0;
        server.Run(10);
        Assert.Equal(LivenessHealth.Hung, server.Health);
    }

    [Fact]
    public void Slots_BusyForSomebodyElse_AreNoLeak()
    {
        var server = new Server { Busy = 4, InFlight = 0 };
        server.Run(300, decode: true);
        Assert.Equal((LivenessHealth.Alive, 0), (server.Health, server.Verdict.Leaked));
    }

    [Fact]
    public void Fault37_WeWereLate_CountsForNothing()
    {
        var server = new Server { Busy = 1, InFlight = 1 };
        server.Run(50);
        server.Now += TimeSpan.FromSeconds(60); // the host slept
        server.Look(isLate: true);
        server.Run(50);
        Assert.Equal(LivenessHealth.Alive, server.Health);
        server.Run(15);
        Assert.Equal(LivenessHealth.Hung, server.Health);
    }

    [Fact]
    public void Cpu_NotTold_IsNeverCalledFlat()
    {
        var server = new Server { Busy = 1, InFlight = 1, Awaiting = 1, Cpu = null };
        server.Run(500);
        Assert.Equal(LivenessHealth.Busy, server.Health);
    }

    [Fact]
    public void Cpu_FlatOfTheProcessItself_LooksAtTheGroup()
    {
        // A script that waits for the real server: its own CPU is flat, the group's is not.
        var server = new Server { Busy = 1, InFlight = 1, Awaiting = 1, Cpu = 0, GroupCpu = 1 };
        server.Run(200);
        Assert.Equal((LivenessHealth.Busy, true), (server.Health, server.Verdict.WantsGroup));
    }

    [Theory]
    [InlineData(0, 0, false, LivenessHealth.Hung)]
    [InlineData(1, 0, false, LivenessHealth.Busy)]
    [InlineData(0, 10, false, LivenessHealth.Busy)]
    [InlineData(0, 0, true, LivenessHealth.Busy)]
    [InlineData(1, 10, true, LivenessHealth.Busy)]
    internal void Work_WithoutResult_IsBusyWhileCpuDiskOrGpuAreAtIt(double cores, int mebibytesPerSecond, bool isOnGpu, LivenessHealth expected)
    {
        var server = new Server { Busy = 1, InFlight = 1, Awaiting = 1, Cpu = cores, ReadMebibytes = mebibytesPerSecond, IsOnGpu = isOnGpu };
        server.Run(100);
        Assert.Equal(expected, server.Health);
    }

    [Fact]
    public void Gpu_FallsIdleBehindAWaitingRequest_IsHungAfterTheStallTimeout()
    {
        var server = new Server { Busy = 1, InFlight = 1, Awaiting = 1, IsOnGpu = true };
        server.Run(200);
        server.IsOnGpu = false;
        server.Run(55);
        Assert.Equal(LivenessHealth.Busy, server.Health);
        server.Run(10);
        Assert.Equal(LivenessHealth.Hung, server.Health);
    }

    [Fact]
    public void Fault70_MachineThrashes_ReadingWeightsBackIsWorkAndNothingIsKilled()
    {
        // Short of memory, the kernel drops mapped weights and reads them again for each token: almost no CPU, no token for minutes.
        var server = new Server { Busy = 1, InFlight = 1, Cpu = 0.01, ReadMebibytes = 50 };
        server.Run(10, decode: true);
        server.Run(280);
        Assert.Equal(LivenessHealth.Busy, server.Health);
        server.Run(1, bytes: true);
        Assert.Equal(LivenessHealth.Alive, server.Health);
    }

    [Fact]
    public void Add_ProgressEveryNowAndThen_IsNeverHung() => // 54 s: counters are seen every 5 s only
        Gen.Select(Gen.Int[1, 54], Gen.Int[0, 1], Gen.Int[0, 3], Gen.Enum<SlotsAnswer>()).List[1, 30].Sample(schedule =>
        {
            var server = new Server { Busy = 1, InFlight = 1 };
            foreach (var (quiet, cpu, kind, answer) in schedule)
            {
                server.Cpu = cpu;
                server.Answer = answer;
                server.Run(quiet);
                Assert.NotEqual(LivenessHealth.Hung, server.Health);
                server.Answer = SlotsAnswer.Told;
                server.Run(6, decode: kind < 2, bytes: kind >= 2);
                Assert.Equal(LivenessHealth.Alive, server.Health);
            }
        }, iter: 300);

    /// <summary>A llama-server of four slots, looked at once a second and asked for its slots every five.</summary>
    private sealed class Server
    {
        private long _decoded = 1;
        private long _bytes;
        private double _ticks;
        private double _groupTicks;
        private long _readBytes;
        private int _second;

        public TimeSpan Now { get; set; }

        public int Busy { get; set; }

        public int InFlight { get; set; }

        public int Awaiting { get; set; }

        public int Whole { get; set; }

        /// <summary>Cores in use.</summary>
        public double? Cpu { get; set; } = 0;

        public double GroupCpu { get; set; }

        public bool IsStopped { get; set; }

        /// <summary>Read from storage, a second.</summary>
        public long ReadMebibytes { get; set; }

        public bool IsOnGpu { get; set; }

        public SlotsAnswer Answer { get; set; } = SlotsAnswer.Told;

        public LivenessVerdict Verdict { get; private set; } = new();

        public int Continued { get; private set; }

        public LivenessHealth Health => Verdict.Health;

        public void Run(int seconds, bool decode = false, bool bytes = false)
        {
            for (var i = 0; i < seconds; i++)
            {
                Now += TimeSpan.FromSeconds(1);
                _decoded += decode ? 1 : 0;
                _bytes += bytes ? 20 : 0;
                Look();
            }
        }

        public void Look(bool isLate = false)
        {
            _ticks += (Cpu ?? 0) * ProcStat.TicksPerSecond;
            _groupTicks += GroupCpu * ProcStat.TicksPerSecond;
            _readBytes += ReadMebibytes << 20;
            var isWhole = Verdict.WantsGroup;
            var process = new ProcessLook(IsStopped, isWhole, Cpu is null ? null : (long)(_ticks + (isWhole ? _groupTicks : 0)), _readBytes) { IsOnGpu = IsOnGpu };
            SlotsLook? slots = _second++ % 5 == 0 && !IsStopped
                ? new(Answer, [.. Enumerable.Range(0, 4).Select(id => new LlamaServerSlot(id, id < Busy, id < Busy ? 7 : null, id < Busy && Awaiting == 0 ? _decoded : 0, 10, 0, 0))])
                : null;
            Verdict = Verdict.Add(new(Now, isLate, process, new(InFlight, Awaiting, Whole, _bytes), slots), Limits);
            Continued += Verdict.IsToContinue ? 1 : 0;
        }
    }
}
