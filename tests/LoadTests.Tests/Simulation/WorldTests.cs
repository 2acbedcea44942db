using LlmGateway.Benchmarks.Simulation;

namespace LlmGateway.LoadTests.Tests.Simulation;

/// <summary>The gateway's own queue on simulated time: what it promises under load, in a world that a seed repeats.</summary>
public sealed class WorldTests
{
    [Fact]
    public void Run_SameSeed_IsTheSameRun()
    {
        var (first, second) = (Gateway(new Workload { Load = 1.3, Requests = 400 }), Gateway(new Workload { Load = 1.3, Requests = 400 }));

        Assert.Equal((first.FirstTokenP99, first.Goodput, first.HitRate), (second.FirstTokenP99, second.Goodput, second.HitRate));
    }

    [Theory]
    [InlineData(1.3)]
    [InlineData(2)]
    public void Run_Overload_LightKeysKeepTheirServiceAndNobodyIsServedTooLate(double load)
    {
        var workload = new Workload { Load = load, Requests = 1200 };
        var result = World.Run(workload, "gateway", time => new GatewayPolicy(time, workload, knowsPrefixes: false));

        Assert.InRange(result.LightGoodput, 0.97, 1);
        // Whoever got a slot got his first token in time: the rest was refused before it could waste one.
        Assert.Equal(result.Of(SimulatedEnd.Answered), (int)Math.Round(result.Goodput * result.Workload.Requests));
        Assert.Equal(0, result.Of(SimulatedEnd.GaveUp));
    }

    [Theory]
    [InlineData(1.3)]
    [InlineData(2)]
    public void Run_OverloadOfKnownConversations_WarmPromptsTakeLittleFromLightKeys(double load)
    {
        var result = Gateway(new Workload { Load = load, Requests = 1200 });

        // A warm prompt of somebody else may go first, within the slack that fairness has.
        Assert.InRange(result.LightGoodput, 0.95, 1);

        // What a server was seen to read it may have forgotten: one in a hundred is late by that.
        var answered = result.Of(SimulatedEnd.Answered);
        Assert.InRange((int)Math.Round(result.Goodput * result.Workload.Requests), answered - (answered / 100), answered);
        Assert.Equal(0, result.Of(SimulatedEnd.GaveUp));
    }

    [Fact]
    public void Run_Overload_ServesMoreInTimeThanFirstComeFirstServed()
    {
        var workload = new Workload { Load = 1.3, Requests = 1200 };
        var fifo = World.Run(workload, "fifo", time => new CentralFifo(time, workload, workload.Deadline));

        Assert.True(Gateway(workload).Goodput > fifo.Goodput + 0.1);
    }

    [Fact]
    public void Run_ServerDiesBelowCapacity_EverybodyIsAnswered() =>
        Assert.Equal(1200, Gateway(new Workload { Load = 0.5, Requests = 1200, Crash = (0.4, 0.6) }).Of(SimulatedEnd.Answered));

    private static WorldResult Gateway(Workload workload) => World.Run(workload, "gateway", time => new GatewayPolicy(time, workload));
}
