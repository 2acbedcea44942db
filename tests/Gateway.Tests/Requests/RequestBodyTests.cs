using CsCheck;
using LlmGateway.Gateway.Requests;

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
                using (var body = await RequestBody.ReadAsync(new PieceStream(bytes, piece), isAnnounced ? bytes.Length : null, budget, Ct))
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
        Assert.Null(await RequestBody.ReadAsync(new MemoryStream(new byte[200_000]), 200_000, budget, Ct));
        Assert.Null(await RequestBody.ReadAsync(new MemoryStream(new byte[200_000]), null, budget, Ct));
        Assert.Equal(0, budget.Held);
    }

    [Fact]
    public async Task ReadAsync_SourceFails_GivesTheBudgetBack()
    {
        var budget = new BodyBudget(100_000);
        await Assert.ThrowsAsync<IOException>(async () => await RequestBody.ReadAsync(new PieceStream(new byte[50_000], 100, new IOException()), null, budget, Ct));
        Assert.Equal(0, budget.Held);
    }

    [Fact]
    public async Task Dispose_Twice_GivesTheBudgetBackOnce()
    {
        var budget = new BodyBudget(100_000);
        var body = await RequestBody.ReadAsync(new MemoryStream(new byte[10]), 10, budget, Ct);
        body!.Dispose();
        body.Dispose();
        Assert.Equal(0, budget.Held);
        Assert.Throws<ObjectDisposedException>(() => body.Bytes);
        Assert.Throws<ObjectDisposedException>(body.OpenRead);
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
