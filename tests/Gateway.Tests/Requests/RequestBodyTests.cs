using CsCheck;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Requests;

public sealed class RequestBodyTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task ReadAsync_AnyLengthInAnyPieces_IsKeptAndTheBudgetComesBack() =>
        await Gen.Select(Gen.Byte.Array[0, 70_000], Gen.Int[1, 9000], Gen.Bool).SampleAsync(
            async (bytes, piece, isAnnounced) =>
            {
                var budget = new BodyBudget(1 << 20);
                using (var body = await RequestBody.ReadAsync(new PieceStream(bytes, piece), isAnnounced ? bytes.Length : null, budget, Timeout.InfiniteTimeSpan, TimeProvider.System, Ct))
                {
                    Assert.True(body!.Bytes.Span.SequenceEqual(bytes));
                    Assert.InRange(budget.Held, bytes.Length, 1 << 20);
                    using var again = new MemoryStream();
                    await body.OpenRead().CopyToAsync(again, Ct);
                    Assert.Equal(bytes, again.ToArray());
                }

                Assert.Equal(0, budget.Held);
            },
            iter: 100);

    [Fact]
    public async Task ReadAsync_BudgetSpent_IsNullAndHoldsNothing()
    {
        var budget = new BodyBudget(100_000);
        Assert.Null(await RequestBody.ReadAsync(new MemoryStream(new byte[200_000]), 200_000, budget, Timeout.InfiniteTimeSpan, TimeProvider.System, Ct));
        Assert.Null(await RequestBody.ReadAsync(new MemoryStream(new byte[200_000]), null, budget, Timeout.InfiniteTimeSpan, TimeProvider.System, Ct));
        Assert.Equal(0, budget.Held);
    }

    [Fact]
    public async Task ReadAsync_SourceFails_GivesTheBudgetBack()
    {
        var budget = new BodyBudget(100_000);
        await Assert.ThrowsAsync<IOException>(async () => await RequestBody.ReadAsync(new PieceStream(new byte[50_000], 100, new IOException()), null, budget, Timeout.InfiniteTimeSpan, TimeProvider.System, Ct));
        Assert.Equal(0, budget.Held);
    }

    [Fact]
    public async Task ReadAsync_AnnouncedButNotSent_CostsLittle()
    {
        var budget = new BodyBudget(1 << 30);
        using var client = new StalledStream();
        using var gone = new CancellationTokenSource();
        var reading = RequestBody.ReadAsync(client, 512 << 20, budget, Timeout.InfiniteTimeSpan, TimeProvider.System, gone.Token).AsTask();
        Assert.InRange(budget.Held, 1, 64 * 1024);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);
        Assert.Equal(0, budget.Held);
    }

    [Fact]
    public async Task ReadAsync_SlowerThanAllowed_Is408AndHoldsNothing()
    {
        var time = new FakeTimeProvider();
        var budget = new BodyBudget(1 << 20);
        using var client = new StalledStream("{"u8.ToArray());
        var reading = RequestBody.ReadAsync(client, 100, budget, TimeSpan.FromSeconds(10), time, Ct).AsTask();
        time.Advance(TimeSpan.FromSeconds(9.9));
        Assert.False(reading.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(0.2));
        Assert.Equal(408, (await Assert.ThrowsAsync<BadHttpRequestException>(() => reading)).StatusCode);
        Assert.Equal(0, budget.Held);
    }

    [Fact]
    public async Task Rewritten_IsABodyOfItsOwn()
    {
        var budget = new BodyBudget(1000 * 1024);
        var rewrite = BodyRewrite.Of(new ModelOptions { StripParams = ["a"] })!;
        using var body = await RequestBody.ReadAsync(new MemoryStream("""{"a":1,"b":2}"""u8.ToArray()), 13, budget, Timeout.InfiniteTimeSpan, TimeProvider.System, Ct);
        using (var changed = body!.Rewritten(rewrite.Growth, rewrite.Apply))
        {
            Assert.Equal("""{"b":2}"""u8.ToArray(), changed!.Bytes.ToArray());
        }

        Assert.True(budget.TryReserve(1000 * 1024 - (int)budget.Held));
        Assert.Null(body.Rewritten(rewrite.Growth, rewrite.Apply));
    }

    [Fact]
    public async Task Dispose_Twice_GivesTheBudgetBackOnce()
    {
        var budget = new BodyBudget(100_000);
        var body = await RequestBody.ReadAsync(new MemoryStream(new byte[10]), 10, budget, Timeout.InfiniteTimeSpan, TimeProvider.System, Ct);
        body!.Dispose();
        body.Dispose();
        Assert.Equal(0, budget.Held);
        Assert.Throws<ObjectDisposedException>(() => body.Bytes);
        Assert.Throws<ObjectDisposedException>(body.OpenRead);
    }

    /// <summary>Hands out some bytes, and then nothing until it is given up.</summary>
    private sealed class StalledStream(params byte[] bytes) : MemoryStream(bytes)
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (Position == Length)
            {
                await Task.Delay(Timeout.Infinite, cancellationToken);
            }

            return Read(buffer.Span);
        }
    }

    /// <summary>Hands out its bytes in pieces, and then ends or fails.</summary>
    private sealed class PieceStream(byte[] bytes, int piece, Exception? end = null) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            end is not null && Position == Length
                ? ValueTask.FromException<int>(end)
                : base.ReadAsync(buffer[..Math.Min(piece, buffer.Length)], cancellationToken);
    }
}
