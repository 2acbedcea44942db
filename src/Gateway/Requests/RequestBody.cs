using System.Buffers;

namespace LlmGateway.Gateway.Requests;

/// <summary>A request body held in pooled memory, so that it can be sent again. Its bytes count against a budget until it is disposed.</summary>
internal sealed class RequestBody : IDisposable
{
    private readonly BodyBudget _budget;
    private readonly int _reserved;
    private byte[]? _buffer;

    private RequestBody(byte[] buffer, int length, BodyBudget budget, int reserved)
    {
        (_buffer, Length, _budget, _reserved) = (buffer, length, budget, reserved);
    }

    public int Length { get; }

    /// <summary>The bytes; not after disposal.</summary>
    public ReadOnlyMemory<byte> Bytes => _buffer is { } buffer ? buffer.AsMemory(0, Length) : throw new ObjectDisposedException(nameof(RequestBody));

    /// <summary>A new stream over the bytes, from the beginning.</summary>
    public Stream OpenRead() => new MemoryStream(_buffer ?? throw new ObjectDisposedException(nameof(RequestBody)), 0, Length, writable: false);

    /// <summary>Reads a body whole. What it announces costs nothing yet: it counts against the budget as it comes.</summary>
    /// <param name="source">Where it comes from.</param>
    /// <param name="contentLength">How long it says it is, or null.</param>
    /// <param name="budget">What all bodies may hold together.</param>
    /// <param name="timeout">Longest time from the first bytes to the last.</param>
    /// <param name="time">The clock of that.</param>
    /// <param name="cancellationToken">The client's leaving.</param>
    /// <returns>The body, or null when the budget for bodies is spent.</returns>
    /// <exception cref="BadHttpRequestException">It is longer than the budget allows one to be (413), or too slow (408).</exception>
    public static async ValueTask<RequestBody?> ReadAsync(
        Stream source, long? contentLength, BodyBudget budget, TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        const int Least = 256;
        const int First = 16 * 1024;

        // It is kept to the end of the request, which for a stream may be long: no more than it needs.
        var reserved = (int)Math.Clamp(contentLength ?? First, Least, First);
        if (!budget.TryReserve(reserved))
        {
            return null;
        }

        var buffer = ArrayPool<byte>.Shared.Rent(reserved);
        var length = 0;
        var isTaken = false;
        CancellationTokenSource? deadline = null;
        CancellationTokenSource? either = null;
        try
        {
            while (true)
            {
                var read = await source.ReadAsync(buffer.AsMemory(length, reserved - length), either?.Token ?? cancellationToken);
                length += read;
                if (length > budget.LongestBody)
                {
                    throw new BadHttpRequestException("The body is too large.", StatusCodes.Status413PayloadTooLarge);
                }

                if (read == 0 || length == contentLength)
                {
                    break;
                }

                // Most bodies are there with the first read, which the server's own minimum rate bounds.
                deadline ??= new CancellationTokenSource(timeout, time);
                either ??= CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
                if (length < reserved)
                {
                    continue;
                }

                var larger = (int)Math.Min(Math.Min(reserved * 2L, Math.Max(contentLength ?? long.MaxValue, length + 1L)), Array.MaxLength);
                if (!budget.TryReserve(larger - reserved))
                {
                    return null;
                }

                reserved = larger;
                var grown = ArrayPool<byte>.Shared.Rent(larger);
                buffer.AsSpan(0, length).CopyTo(grown);
                ArrayPool<byte>.Shared.Return(buffer);
                buffer = grown;
            }

            isTaken = true;
            return new RequestBody(buffer, length, budget, reserved);
        }
        catch (OperationCanceledException) when (deadline is not null && !cancellationToken.IsCancellationRequested)
        {
            throw new BadHttpRequestException("The body came too slowly.", StatusCodes.Status408RequestTimeout);
        }
        finally
        {
            either?.Dispose();
            deadline?.Dispose();
            if (!isTaken)
            {
                ArrayPool<byte>.Shared.Return(buffer);
                budget.Release(reserved);
            }
        }
    }

    /// <summary>A body of its own that is written from this one, or null when the budget for bodies is spent.</summary>
    /// <param name="growth">Bytes by which it may be longer.</param>
    /// <param name="write">Writes it and says how long it is.</param>
    public RequestBody? Rewritten(int growth, BodyWriter write)
    {
        var reserved = Length + growth;
        if (!_budget.TryReserve(reserved))
        {
            return null;
        }

        var buffer = ArrayPool<byte>.Shared.Rent(reserved);
        return new RequestBody(buffer, write(Bytes.Span, buffer), _budget, reserved);
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _buffer, null) is { } buffer)
        {
            ArrayPool<byte>.Shared.Return(buffer);
            _budget.Release(_reserved);
        }
    }
}

/// <summary>Writes one body from another and says how long it is.</summary>
internal delegate int BodyWriter(ReadOnlySpan<byte> body, Span<byte> output);

/// <summary>Bytes that bodies may hold together.</summary>
/// <param name="limit">In bytes.</param>
internal sealed class BodyBudget(long limit)
{
    private long _held;

    /// <summary>Bytes that a single body may have.</summary>
    public long LongestBody
    {
        get => Volatile.Read(ref field);
        set => Volatile.Write(ref field, value);
    } = long.MaxValue;

    public long Held => Volatile.Read(ref _held);

    public bool TryReserve(int bytes)
    {
        if (Interlocked.Add(ref _held, bytes) <= limit)
        {
            return true;
        }

        Interlocked.Add(ref _held, -bytes);
        return false;
    }

    public void Release(int bytes) => Interlocked.Add(ref _held, -bytes);
}
