using LlmGateway.ProcessManager.Supervision.Liveness;

namespace LlmGateway.ProcessManager.Tests.Supervision.Liveness;

public sealed class KillShareTests
{
    private static readonly TimeSpan Gather = TimeSpan.FromSeconds(5);

    [Fact]
    public void Ask_OneOfOne_IsKilledAtOnceAndAgainWhenItHangsAgain()
    {
        var pool = new Pool(1);
        Assert.Equal(KillAnswer.Kill, pool.Ask(0));
        pool.Up(0);
        Assert.Equal(KillAnswer.Kill, pool.Ask(0));
    }

    [Fact]
    public void Ask_OneOfTwo_IsKilledWhenNoOtherJoined()
    {
        var pool = new Pool(2);
        Assert.Equal(KillAnswer.Wait, pool.Ask(0));
        pool.Now += Gather;
        Assert.Equal(KillAnswer.Kill, pool.Ask(0));
    }

    [Fact]
    public void Fault58_MostHangAtOnce_NoneIsKilled()
    {
        var pool = new Pool(10);
        for (var second = 0; second < 299; second++, pool.Now += TimeSpan.FromSeconds(1))
        {
            for (var index = 0; index < 6; index++)
            {
                Assert.NotEqual(KillAnswer.Kill, pool.Ask(index));
            }
        }

        Assert.True(pool.IsPanic);

        // Four of them were only held up by the host: two are left, and that is no panic any more.
        for (var index = 0; index < 4; index++)
        {
            pool.Well(index);
        }

        Assert.False(pool.IsPanic);
        Assert.Equal(KillAnswer.Kill, pool.Ask(4));
    }

    [Fact]
    public void Ask_PanicLasts_ReplacesOneAfterTheOther()
    {
        var pool = new Pool(2);
        Assert.Equal(KillAnswer.Wait, pool.Ask(0)); // the first does not know of the second yet
        Assert.Equal(KillAnswer.Panic, pool.Ask(1));
        Assert.Equal(KillAnswer.Panic, pool.Ask(0));
        pool.Now += KillShare.PanicPatience;
        Assert.Equal(KillAnswer.Kill, pool.Ask(0));
        Assert.Equal(KillAnswer.Wait, pool.Ask(1));
        pool.Up(0);
        pool.Now += Gather;
        Assert.Equal(KillAnswer.Kill, pool.Ask(1));
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(6, 2)]
    [InlineData(10, 3)]
    public void Ask_SomeHang_NeverMoreThanTheShareAreDown(int size, int most)
    {
        var pool = new Pool(size);
        var hung = size / 2;
        for (var index = 0; index < hung; index++)
        {
            pool.Ask(index);
        }

        pool.Now += Gather;
        var answers = Enumerable.Range(0, hung).Select(pool.Ask).ToList();
        Assert.Equal(Math.Min(most, hung), answers.Count(answer => answer is KillAnswer.Kill));

        // The next one when the first is up again.
        if (hung > most)
        {
            pool.Up(0);
            Assert.Equal(KillAnswer.Kill, pool.Ask(hung - 1));
        }
    }

    [Fact]
    public void Ask_ReplacementNeverComesUp_FreesTheShareInTime()
    {
        var pool = new Pool(4);
        pool.Ask(0);
        pool.Now += Gather;
        Assert.Equal(KillAnswer.Kill, pool.Ask(0));
        pool.Ask(1);
        pool.Now += Gather;
        Assert.Equal(KillAnswer.Wait, pool.Ask(1));
        pool.Now += KillShare.Memory;
        Assert.Equal(KillAnswer.Kill, pool.Ask(1));
    }

    private sealed class Pool(int size)
    {
        private KillShare _share = new();

        public TimeSpan Now { get; set; }

        public bool IsPanic => _share.IsPanic;

        public KillAnswer Ask(int index)
        {
            (_share, var answer) = _share.Ask(index, size, Gather, Now);
            return answer;
        }

        public void Well(int index) => _share = _share.Well(index, size, Now);

        public void Up(int index) => _share = _share.Up(index, size, Now);
    }
}
