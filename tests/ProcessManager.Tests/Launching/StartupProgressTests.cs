using LlmGateway.ProcessManager.Launching;

namespace LlmGateway.ProcessManager.Tests.Launching;

public sealed class StartupProgressTests
{
    [Fact]
    public void Add_AnythingGrows_IsProgress()
    {
        var start = new StartupProgress(new(100, 50, 1000, 5), TimeSpan.FromSeconds(10));
        var later = TimeSpan.FromSeconds(20);
        Assert.Equal(later, start.Add(new(100, 51, 1000, 5), later).LastAt);
        Assert.Equal(later, start.Add(new(100, 50, 1001, 5), later).LastAt);
        Assert.Equal(later, start.Add(new(100, 50, 1000, 6), later).LastAt);
        Assert.Equal(later, start.Add(new(110, 50, 1000, 5), later).LastAt);
        Assert.Equal(start, start.Add(new(100, 40, 900, 5), later));
    }

    [Fact]
    public void Add_IdlingThreads_AreNone()
    {
        var start = new StartupProgress(new(0, 0, 0, 0), TimeSpan.Zero);
        Assert.Equal(start, start.Add(new(4, 0, 0, 0), TimeSpan.FromSeconds(1)));
        Assert.Equal(start, start.Add(new(90, 0, 0, 0), TimeSpan.FromSeconds(100)));
        Assert.NotEqual(start, start.Add(new(110, 0, 0, 0), TimeSpan.FromSeconds(100)));
    }
}
