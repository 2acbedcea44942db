using System.Buffers;
using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace LlmGateway.Gateway.Forwarding.Wire;

/// <summary>One HTTP/1.1 connection to a backend: one request, then its answer, then perhaps the next. Used by one at a time; only <see cref="Cut"/> may come from elsewhere.</summary>
internal sealed class WireConnection(Socket socket) : IDisposable
{
    /// <summary>Head and body travel in one piece up to this size of the body.</summary>
    private const int LongestPiece = 32 * 1024;

    private const int FirstRead = 4 * 1024;

    private readonly SocketReceiver _receiver = new(socket);
    private CancellationToken _cancellation;
    private CancellationTokenRegistration _cut;
    private byte[]? _buffer;
    private int _start;
    private int _end;
    private int _isCut;
    private bool _isReceiving;

    /// <summary>Timestamp of when it was last put aside.</summary>
    public long IdleSince { get; set; }

    /// <summary>True once it was cut.</summary>
    public bool IsCut => Volatile.Read(ref _isCut) != 0;

    /// <summary>True when an answer came before the whole request had been sent: nothing can follow here.</summary>
    public bool HasUnsent { get; private set; }

    /// <summary>Bytes that have come and that nobody has taken.</summary>
    public int Buffered => _end - _start;

    /// <summary>Sends a request and reads the head of the answer.</summary>
    /// <param name="request">Its head.</param>
    /// <param name="body">Its body; not given away before this has returned.</param>
    /// <param name="cancellationToken">Cuts the connection, until it is <see cref="TryRelease">released</see>.</param>
    /// <exception cref="HttpRequestException">What came is no answer.</exception>
    /// <exception cref="IOException">The connection failed.</exception>
    /// <exception cref="OperationCanceledException">It was cut.</exception>
    public ValueTask<AnswerHead> AskAsync(in BackendRequest request, ReadOnlyMemory<byte> body, CancellationToken cancellationToken)
    {
        var isOnePiece = body.Length <= LongestPiece;
        var piece = ArrayPool<byte>.Shared.Rent(RequestHead.LongestOf(request) + (isOnePiece ? body.Length : 0));
        var length = RequestHead.Write(request, piece);
        if (isOnePiece)
        {
            body.Span.CopyTo(piece.AsSpan(length));
            length += body.Length;
        }

        _cancellation = cancellationToken;
        _cut = cancellationToken.UnsafeRegister(static connection => ((WireConnection)connection!).Cut(), this);
        return AnsweredAsync(SendAsync(piece, length, isOnePiece ? default : body));
    }

    /// <summary>Takes bytes of the answer that have come already, or receives some: 0 at the end of the connection, and when it was cut: whoever cuts it knows.</summary>
    /// <exception cref="IOException">The connection failed.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<int> ReadAsync(Memory<byte> target)
    {
        if (Buffered > 0)
        {
            return Take(target.Span);
        }

        if (IsCut)
        {
            // To ask a closed socket would cost an exception.
            return 0;
        }

        var count = await _receiver.ReceiveAsync(target);
        return count >= 0 ? count : IsCut ? 0 : throw Fault();
    }

    /// <summary>Lets go of what could cut it, so that it can be put aside. False when it has been cut: then it can't.</summary>
    public bool TryRelease()
    {
        var isReleased = !_cancellation.CanBeCanceled || _cut.Unregister();
        (_cancellation, _cut) = (default, default);
        return isReleased && !IsCut;
    }

    /// <summary>Takes it up again. False when something has come that nobody asked for, the server's close, say: then nothing can be asked here.</summary>
    public bool TryResume()
    {
        // The answer's first read, begun before the request is sent, tells it without a call of the system more.
        MakeRoom();
        return _isReceiving = _receiver.Begin(_buffer);
    }

    /// <summary>Ends the connection, from wherever: whoever waits on it is told at once.</summary>
    public void Cut()
    {
        if (Interlocked.Exchange(ref _isCut, 1) == 0)
        {
            socket.Dispose();
        }
    }

    public void Dispose()
    {
        _cut.Unregister();
        Cut();
        _receiver.Dispose();
        if (!_isReceiving)
        {
            // Else bytes may still be on their way into it.
            ReturnBuffer();
        }
    }

    private int Take(Span<byte> target)
    {
        var count = Math.Min(target.Length, Buffered);
        _buffer.AsSpan(_start, count).CopyTo(target);
        Consume(count);
        return count;
    }

    /// <summary>Sends what is in the piece, which it gives back, and the rest.</summary>
    private ValueTask SendAsync(byte[] piece, int length, ReadOnlyMemory<byte> rest)
    {
        var sending = socket.SendAsync(piece.AsMemory(0, length), SocketFlags.None, CancellationToken.None);
        if (!sending.IsCompletedSuccessfully)
        {
            return new(SendRestAsync(sending, piece, length, rest));
        }

        var sent = sending.Result;
        if (sent < length || !rest.IsEmpty)
        {
            return new(SendRestAsync(ValueTask.FromResult(sent), piece, length, rest));
        }

        ArrayPool<byte>.Shared.Return(piece);
        return ValueTask.CompletedTask;
    }

    private async Task SendRestAsync(ValueTask<int> sending, byte[] piece, int length, ReadOnlyMemory<byte> rest)
    {
        try
        {
            await SendAllAsync(piece.AsMemory(await sending..length));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(piece);
        }

        await SendAllAsync(rest);
    }

    private async Task SendAllAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await socket.SendAsync(bytes, SocketFlags.None, CancellationToken.None)..];
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<AnswerHead> AnsweredAsync(ValueTask sending)
    {
        try
        {
            while (true)
            {
                var head = await ReadHeadAsync();
                if (head.Status == StatusCodes.Status101SwitchingProtocols)
                {
                    throw new HttpRequestException(HttpRequestError.InvalidResponse, "The answer switches to a protocol that nobody asked for.");
                }

                // An interim answer says nothing that anybody here would want to know.
                if (head.Status >= StatusCodes.Status200OK)
                {
                    if (!sending.IsCompleted)
                    {
                        // It has answered without having read all: it gets no more.
                        socket.Shutdown(SocketShutdown.Send);
                        HasUnsent = true;
                    }

                    return head;
                }
            }
        }
        catch
        {
            Cut();
            throw;
        }
        finally
        {
            await EndAsync(sending);
        }
    }

    /// <summary>Lets a send come to its end: what it sends is not ours to give away before.</summary>
    private static async ValueTask EndAsync(ValueTask sending)
    {
        try
        {
            await sending;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // What the answer says, or that there is none, tells more.
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<AnswerHead> ReadHeadAsync()
    {
        while (true)
        {
            if (Buffered > 0 && HeadReader.Read(_buffer.AsSpan(_start, Buffered), out var consumed) is { } head)
            {
                Consume(consumed);
                return head;
            }

            var count = await ReceiveAsync();
            _end += count > 0 ? count
                : throw (count == 0 ? new HttpIOException(HttpRequestError.ResponseEnded, "The connection ended before the answer began.") : Fault());
        }
    }

    private ValueTask<int> ReceiveAsync()
    {
        if (_isReceiving)
        {
            _isReceiving = false;
            return _receiver.EndAsync();
        }

        MakeRoom();
        return _receiver.ReceiveAsync(_buffer.AsMemory(_end));
    }

    private void MakeRoom()
    {
        if (_buffer is null)
        {
            _buffer = ArrayPool<byte>.Shared.Rent(FirstRead);
        }
        else if (_end == _buffer.Length)
        {
            var larger = ArrayPool<byte>.Shared.Rent(Math.Max(2 * Buffered, FirstRead));
            _buffer.AsSpan(_start, Buffered).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer);
            (_buffer, _start, _end) = (larger, 0, Buffered);
        }
    }

    private Exception Fault() => IsCut
        ? new OperationCanceledException("The connection was cut.", _cancellation)
        : new IOException("The connection failed.", new SocketException((int)_receiver.SocketError));

    private void Consume(int count)
    {
        _start += count;
        if (Buffered == 0)
        {
            ReturnBuffer();
        }
    }

    private void ReturnBuffer()
    {
        if (_buffer is { } buffer)
        {
            (_buffer, _start, _end) = (null, 0, 0);
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
