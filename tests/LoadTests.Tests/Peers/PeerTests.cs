using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Measuring;
using LlmGateway.LoadTests.Peers;

namespace LlmGateway.LoadTests.Tests.Peers;

public sealed class PeerTests
{
    [Theory]
    [InlineData("42 (nginx) S 7 42 42 0 -1 4194560 1 2 3 4 100 50 7 3 20 0 1 0 99 1 2", 42, 7, 160)]
    [InlineData("43 (a) b (c)) R 1 43 43 0 -1 4194560 1 2 3 4 1 2 3 4 20 0 1 0 99 1 2", 43, 1, 10)]
    public void Parse_StatLine_ReadsParentAndTicksBehindAnyName(string stat, int pid, int parent, long ticks) =>
        Assert.Equal(new ProcessTree.Member(pid, parent, ticks), ProcessTree.Member.Parse(stat));

    [Fact]
    public void Configuration_MoreSlotsThanOneRemoteMayHave_AreSharedOutAmongSeveral()
    {
        var json = System.Text.Json.Nodes.JsonNode.Parse(
            GatewayPeer.Configuration(new PeerSetup([new Uri("http://127.0.0.1:1")], 2500, TimeSpan.FromSeconds(1)), new Uri("http://127.0.0.1:2"), "/tmp"))!;

        Assert.Equal([1024, 1024, 452], json["Models"]!["demo"]!["Remotes"]!.AsArray().Select(static remote => remote!["Slots"]!.GetValue<int>()));
    }

    [Fact]
    public void Render_TwoRepeats_RatiosAreTakenWithinEach()
    {
        var one = PeerCase.All.Single(static one => one.Name == "open");
        PeerResult[] results = [Result("nginx", 0, 100), Result("gateway", 0, 200), Result("nginx", 1, 50), Result("gateway", 1, 150)];

        var page = PeerReport.Render(results, [one], DateTimeOffset.UnixEpoch, "two cores");

        Assert.Contains("| gateway | 2.50 (2.00 – 3.00) | 175 |", page, StringComparison.Ordinal);
        Assert.Contains("| nginx | 1.00 (1.00 – 1.00) | 75 |", page, StringComparison.Ordinal);

        static PeerResult Result(string peer, int repeat, double cpu) => new(
            peer, "open", repeat, cpu, StageReport.Create("open", TimeSpan.Zero, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1), null, NewTally()), 1, 1 << 20, null);

        static Tally NewTally()
        {
            var tally = new Tally();
            tally.Record(new RequestRecord { IntendedStart = 0, End = 1000, Outcome = Outcome.Ok });
            return tally;
        }
    }
}
