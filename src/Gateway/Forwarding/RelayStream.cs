using System.Buffers;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>How a relayed answer ended.</summary>
internal enum RelayEnd
{
    /// <summary>It has not.</summary>
    None,

    /// <summary>With the API's own end.</summary>
    Complete,

    /// <summary>The backend broke off, or ended before its API's end.</summary>
    Broken,

    /// <summary>The backend went silent for too long.</summary>
    TimedOut,
}

/// <summary>The backend's answer as the forwarder reads it: unchanged bytes, whole events, and an honest end.</summary>
/// <remarks>
/// A stream of events is handed on event for event; half an event waits for its other half, at most <see cref="LongestHeld"/> bytes. When the backend
/// breaks, the half event is dropped, the API's error event follows, and the reader sees a normal end: the forwarder would else reset the connection
/// and the client would lose what it was sent. An answer that is no stream just throws: the forwarder then aborts it.
/// </remarks>
internal sealed class RelayStream(Stream source, ApiDialect? events, string requestId, RelayTimer timer) : Stream
{
    public const int LongestHeld = 64 * 1024;

    private const int FirstBuffer = 4 * 1024;

    /// <summary>How much of a long event's known part stays: what matters in it must not fall between two looks.</summary>
    private const int Overlap = 1024;

    private byte[]? _buffer;
    private int _start;
    private int _ready;
    private int _length;
    private bool _isInsideEvent;
    private bool _sawLast;
    private bool _sawError;

    /// <summary>How it ended, once it has.</summary>
    public RelayEnd Ended { get; private set; }

    /// <summary>Called once when the first event that is no comment (or the first byte, for what is no stream) is in hand.</summary>
    public Action? OnFirstToken { get; set; }

    /// <summary>Called once when the reader comes back for more: what it was given first has been written.</summary>
    public Action? OnFirstTokenWritten { get; set; }

    /// <summary>Called with the number of bytes when more than comments has come: the backend makes progress.</summary>
    public Action<int>? OnProgress { get; init; }

    /// <summary>Called when the relay ends brokenly, so that the connection can be closed after the message.</summary>
    public Action? OnBroken { get; set; }

    /// <summary>What the answer says of its own cost, as far as it has been read.</summary>
    public TokenUsage? Usage { get; private set; }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Waits for the first token. Throws when the backend breaks before it: then nothing has reached the client and the request can go elsewhere.</summary>
    public async Task PrimeAsync()
    {
        var seen = 0;
        while (!await FillAsync())
        {
            // Comments wait with the first event: with them the answer would have begun.
            if (_ready - _start == seen)
            {
                throw new IOException("The backend ended its answer before the first event.");
            }

            seen = _ready - _start;
            if (seen > LongestHeld)
            {
                throw new IOException("The backend sends nothing but comments.");
            }
        }

        OnFirstToken?.Invoke();
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_ready == _start && Ended == RelayEnd.None)
        {
            OnFirstTokenWritten?.Invoke();
            OnFirstTokenWritten = null;
            await FillOrEndAsync(cancellationToken);
        }

        var count = Math.Min(buffer.Length, _ready - _start);
        if (count == 0)
        {
            return 0;
        }

        _buffer.AsSpan(_start, count).CopyTo(buffer.Span);
        _start += count;
        if (_start == _length)
        {
            ReturnBuffer();
        }

        return count;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("Asynchronous only.");

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            source.Dispose();
            ReturnBuffer();
        }

        base.Dispose(disposing);
    }

    private async ValueTask FillOrEndAsync(CancellationToken cancellationToken)
    {
        try
        {
            var before = _ready;
            if (await FillAsync() || _ready > before)
            {
                return;
            }

            // The source has ended.
            if (events is null || _sawLast)
            {
                Finish();
                return;
            }
        }
        catch (Exception e) when (events is not null && !cancellationToken.IsCancellationRequested && e is IOException or HttpRequestException or OperationCanceledException)
        {
            if (_sawLast)
            {
                // All that the client needs is there: how the connection ends does not matter any more.
                Finish();
                return;
            }
        }

        Break();
    }

    /// <summary>Reads until at least one more whole event (or any bytes of what is no stream) is ready. False at the end of the source, or for comments only.</summary>
    private async ValueTask<bool> FillAsync()
    {
        while (true)
        {
            using var wait = timer.Begin();
            if (_length == _start)
            {
                // Wait without a buffer: most of a stream's time passes here.
                ReturnBuffer();
#pragma warning disable CA2022 // Nothing is read: an empty read only waits.
                await source.ReadAsync(Memory<byte>.Empty, timer.Token);
#pragma warning restore CA2022
            }

            MakeRoom();
            var read = await source.ReadAsync(_buffer.AsMemory(_length), timer.Token);
            if (read == 0)
            {
                return false;
            }

            _length += read;
            if (events is not { } dialect)
            {
                Usage = TokenUsage.Find(_buffer.AsSpan(_ready, read), Usage);
                _ready = _length;
                OnProgress?.Invoke(read);
                return true;
            }

            var scanned = Scan(dialect);
            if (scanned is { } isToken)
            {
                if (isToken)
                {
                    OnProgress?.Invoke(read);
                    timer.Progressed();
                }

                return isToken;
            }
        }
    }

    /// <summary>Finds the whole events among the new bytes. Null when there is none; else whether one of them is more than a comment.</summary>
    private bool? Scan(ApiDialect dialect)
    {
        var isToken = false;
        var isAny = false;
        while (EventFraming.NextEvent(_buffer.AsSpan(_ready, _length - _ready)) is var length and > 0)
        {
            var oneEvent = _buffer.AsSpan(_ready, length);
            _ready += length;
            isAny = true;
            isToken |= _isInsideEvent || !EventFraming.IsComment(oneEvent);
            Inspect(dialect, oneEvent);
            _isInsideEvent = false;
        }

        if (_sawLast && !_sawError)
        {
            // Behind the last event there is nothing to wait for: the LF of a CRLF, say.
            isAny |= _ready < _length;
            _ready = _length;
        }
        else if (!isAny && _length - _ready >= LongestHeld)
        {
            // Handed on without its end. A line end at the cut stays: with what comes it may be the blank line.
            var part = _buffer.AsSpan(_ready, _length - _ready);
            Inspect(dialect, part);
            _isInsideEvent = true;
            _ready += part[..^Overlap].TrimEnd("\r\n"u8).Length;
            return true;
        }

        return isAny ? isToken : null;
    }

    /// <summary>Looks whether an event, or the next part of a long one, ends the stream or tells its cost.</summary>
    private void Inspect(ApiDialect dialect, ReadOnlySpan<byte> text)
    {
        Usage = TokenUsage.Find(text, Usage);
        if (_isInsideEvent && dialect != ApiDialect.Native)
        {
            // It begins within a line, and only a whole line says what it is.
            text = text[(text.IndexOfAny((byte)'\n', (byte)'\r') is var line and >= 0 ? line : text.Length)..];
        }

        _sawError |= StreamEnd.IsError(text);
        _sawLast |= _sawError || StreamEnd.IsLast(dialect, text);
    }

    /// <summary>The source has said its last word; an error of the backend's own is one, too.</summary>
    private void Finish()
    {
        Ended = _sawError ? RelayEnd.Broken : RelayEnd.Complete;
        if (_sawError)
        {
            OnBroken?.Invoke();
        }
    }

    private void Break()
    {
        Ended = timer.HasExpired ? RelayEnd.TimedOut : RelayEnd.Broken;
        var error = StreamEnd.ErrorEvent(events!.Value, Ended == RelayEnd.TimedOut ? ApiErrors.StreamSilent : ApiErrors.StreamBroken, requestId);

        // What was already handed on of an event too long to hold must be closed before the next one begins.
        var separator = _isInsideEvent ? "\n\n"u8.Length : 0;
        ReturnBuffer();
        _buffer = ArrayPool<byte>.Shared.Rent(error.Length + separator);
        _buffer.AsSpan(0, separator).Fill((byte)'\n');
        error.CopyTo(_buffer, separator);
        (_start, _ready, _length) = (0, error.Length + separator, error.Length + separator);
        OnBroken?.Invoke();
    }

    private void MakeRoom()
    {
        _buffer ??= ArrayPool<byte>.Shared.Rent(FirstBuffer);
        if (_length < _buffer.Length)
        {
            return;
        }

        var held = _buffer.AsSpan(_start, _length - _start);
        var target = held.Length > _buffer.Length / 2 ? ArrayPool<byte>.Shared.Rent(_buffer.Length * 2) : _buffer;
        held.CopyTo(target);
        if (target != _buffer)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = target;
        }

        (_start, _ready, _length) = (0, _ready - _start, held.Length);
    }

    private void ReturnBuffer()
    {
        if (_buffer is { } buffer)
        {
            _buffer = null;
            ArrayPool<byte>.Shared.Return(buffer);
        }

        (_start, _ready, _length) = (0, 0, 0);
    }
}
