using System.Collections.Immutable;
using CsCheck;
using LlmGateway.ProcessManager.Launching;

namespace LlmGateway.ProcessManager.Tests.Launching;

public sealed class CoreShareTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llmgw-cores-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("0,1,2,3,4,5,6,7", 0, 2, "0,1,2,3")]
    [InlineData("0,1,2,3,4,5,6,7", 1, 2, "4,5,6,7")]
    [InlineData("0,1,2", 1, 2, "1,2")]
    [InlineData("4,12,5,13", 0, 2, "4,12")]
    [InlineData("0,1", 2, 3, "1")]
    [InlineData("0,1", 0, 5, "0")]
    [InlineData("3", 4, 4, "3")]
    public void Of_PlaceAmongReplicas_IsAShareOfItsOwn(string cores, int place, int places, string expected) =>
        Assert.Equal(expected, CoreShare.Of([.. cores.Split(',').Select(int.Parse)], place, places));

    [Fact]
    public void Of_AnyNumberOfReplicas_CoversAllCoresAndNoneTwiceWhileThereAreEnough() =>
        Gen.Select(Gen.Int[1, 200], Gen.Int[1, 300]).Sample((cores, replicas) =>
        {
            var all = Enumerable.Range(0, cores).ToImmutableArray();
            var shares = Enumerable.Range(0, replicas).Select(place => CoreShare.Of(all, place, replicas).Split(',').Select(int.Parse).ToArray()).ToList();
            Assert.All(shares, Assert.NotEmpty);
            if (replicas <= cores)
            {
                Assert.Equal(all, shares.SelectMany(share => share).Order());
                Assert.InRange(shares.Max(share => share.Length) - shares.Min(share => share.Length), 0, 1);
            }
        });

    [Fact]
    public void Allowed_TwoThreadsACore_AreNeighbours()
    {
        // Eight of ten: as many machines number them, the second threads of all cores come after the first ones.
        foreach (var core in Enumerable.Range(0, 10))
        {
            var topology = Directory.CreateDirectory(Path.Combine(_folder, $"cpu{core}", "topology")).FullName;
            File.WriteAllText(Path.Combine(topology, "physical_package_id"), "0\n");
            File.WriteAllText(Path.Combine(topology, "core_id"), $"{core % 5}\n");
        }

        Assert.Equal([0, 5, 1, 6, 2, 7, 3, 8], CoreShare.Allowed("Name:\tx\nCpus_allowed_list:\t0-3,5-8\n", _folder));
    }

    [Fact]
    public void Allowed_NothingTold_IsEmpty() => Assert.Empty(CoreShare.Allowed("Name:\tx\n", _folder));
}
