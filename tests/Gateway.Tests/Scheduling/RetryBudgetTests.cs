using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Scheduling;

public sealed class RetryBudgetTests
{
    [Theory]
    [InlineData(0, 0, 0.2, true)]
    [InlineData(2, 0, 0.2, true)]
    [InlineData(3, 10, 0.2, false)]
    [InlineData(9, 50, 0.2, true)]
    [InlineData(10, 50, 0.2, false)]
    [InlineData(0, 100, 0.0, false)]
    public void Allows_AShareOfWhatRuns(int retrying, int running, double ratio, bool allowed) => Assert.Equal(allowed, RetryBudget.Allows(retrying, running, ratio));

    [Theory]
    [InlineData(1, 0.0, 25)]
    [InlineData(1, 0.5, 50)]
    [InlineData(1, 1.0, 75)]
    [InlineData(2, 0.5, 100)]
    [InlineData(5, 0.5, 800)]
    [InlineData(9, 0.5, 2000)]
    [InlineData(int.MaxValue, 1.0, 3000)]
    public void Backoff_DoublesWithinItsBoundsAndIsSpread(int failures, double random, int milliseconds) =>
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), RetryBackoff.After(failures, random));

    [Fact]
    public void TryRetry_IsCountedUntilTheTicketEnds()
    {
        var model = Configured.Model(change: options => options with { Retry = new RetryOptions { BudgetRatio = 0.2 } });
        using var queue = new ModelQueue(model, new FakeTimeProvider(), new Random(1), TestMeters.Scheduling(), (_, _) => { });
        QueueTicket[] tickets = [.. Enumerable.Range(0, 4).Select(_ => new QueueTicket(Asked.Of(model)))];
        Assert.Equal([true, true, true, false], tickets.Select(queue.TryRetry));
        Assert.True(queue.TryRetry(tickets[0]));
        tickets[0].Dispose();
        tickets[0].Dispose();
        Assert.True(queue.TryRetry(tickets[3]));
        Assert.False(queue.TryRetry(new QueueTicket(Asked.Of(model))));
    }
}
