namespace LlmGateway.Gateway.Tests;

public sealed class SocketThreadsTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(3, 1)]
    [InlineData(4, 2)]
    [InlineData(64, 32)]
    public void CountFor_Cores_IsHalfOfThemAndNeverNone(int cores, int threads) => Assert.Equal(threads, SocketThreads.CountFor(cores));
}
