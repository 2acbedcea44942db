using LlmGateway.Gateway.Scaling;
using LlmGateway.ProcessManager.Sampling;

namespace LlmGateway.Gateway.Tests.Scaling;

public sealed class MemoryPressureTests
{
    [Theory]
    [InlineData(false, 0.09, 50, false)]
    [InlineData(false, 0.10, 50, true)]
    [InlineData(true, 0.03, 50, true)]
    [InlineData(true, 0.01, 50, false)]
    [InlineData(false, 0, 2, true)]
    [InlineData(false, 0, 4, false)]
    [InlineData(true, 0, 5, true)]
    [InlineData(true, 0, 7, false)]
    public void IsPressed_StaysBetweenTheLimits(bool wasPressed, double full, long available, bool expected) => Assert.Equal(
        expected, MemoryPressure.IsPressed(wasPressed, new HostSample { Memory = new(full, full), MemoryTotalBytes = 100, MemoryAvailableBytes = available }));

    [Fact]
    public void IsPressed_SystemTellsNothing_IsNot() => Assert.False(MemoryPressure.IsPressed(true, new HostSample()));
}
