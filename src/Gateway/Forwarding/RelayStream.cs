using System.IO.Pipelines;
using System.Runtime.CompilerServices;
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

/// <summary>A backend's bytes and how long they may be waited for.</summary>
internal readonly record struct RelaySource(Stream Content, RelayTimer Timer)
{
    /// <summary>Is told of what comes from it in the watcher's place; null for the first.</summary>
    public Action<int>? OnProgress { get; init; }
}

/// <summary>Is told how an answer comes along.</summary>
internal interface IRelayWatcher
{
    /// <summary>The first event that is no comment (or the first byte, for what is no stream) is in hand. Once.</summary>
    void FirstToken()
    {
    }

    /// <summary>The reader has come back for more: what it was given first has been written. Once.</summary>
    void FirstTokenWritten()
    {
    }

    /// <summary>All of the answer is in hand: the backend's part is over, however long the client takes to read it. Once, after <see cref="FirstToken"/>.</summary>
    void Whole()
    {
    }

    /// <summary>More than comments has come: the backend makes progress.</summary>
    void Progress(int bytes)
    {
    }

    /// <summary>The relay ends brokenly: the connection is to be closed after the message.</summary>
    void Broken()
    {
    }

    /// <summary>The backend has broken off: who says the rest, or null when nobody can.</summary>
    ValueTask<RelaySource?> ContinueAsync() => new((RelaySource?)null);
}

/// <summary>The backend's answer as the forwarder reads it: unchanged bytes, whole events, and an honest end.</summary>
/// <remarks>
/// A stream of events is handed on event for event. When the backend breaks, the half event is dropped and, unless another backend can say the rest,
/// the API's error event follows and the reader sees a normal end: the forwarder would else reset the connection and the client would lose what it was
/// sent. An answer that is no stream just throws: the forwarder then aborts it.
/// </remarks>
internal sealed class RelayStream : ReadOnceStream
{
    public const int LongestHeld = EventWatch.LongestHeld;

    /// <summary>How long a server may take to end its message after the API's own end.</summary>
    public static readonly TimeSpan AfterTheLast = TimeSpan.FromSeconds(1);

    private readonly RelayBuffer _buffer = new();
    private readonly EventWatch? _events;
    private readonly ApiDialect _dialect;
    private readonly string _requestId;
    private RelaySource _source;
    private JsonExtent _extent;
    private TokenUsage? _usage;
    private long _received;
    private bool _isWrittenTold;
    private bool _isWholeTold;

    /// <param name="source">The backend's bytes.</param>
    /// <param name="events">How its events end; null for an answer that is no stream.</param>
    /// <param name="requestId">The request's id, for the error event.</param>
    /// <param name="timer">How long the backend may take.</param>
    /// <param name="sent">Is told what has been sent, so that another backend could go on.</param>
    public RelayStream(Stream source, StreamShape? events, string requestId, RelayTimer timer, SentText? sent = null)
    {
        (_source, _requestId) = (new RelaySource(source, timer), requestId);
        if (events is { } shape)
        {
            (_dialect, _events) = (shape.Dialect, new EventWatch(shape) { Sent = sent });
        }
    }

    /// <summary>How it ended, once it has.</summary>
    public RelayEnd Ended { get; private set; }

    /// <summary>True when the end of the connection is all that ends the answer, so that the answer itself must show that it is whole.</summary>
    public bool EndsWithItsConnection { get; init; }

    /// <summary>Bytes of the whole answer, when its head says so.</summary>
    public long? Announced { get; init; }

    /// <summary>Is told how the answer comes along.</summary>
    public IRelayWatcher? Watcher { get; init; }

    /// <summary>What the answer says of its own cost, as far as it has been read.</summary>
    public TokenUsage? Usage => _events is { } events ? events.Usage : _usage;

    /// <summary>Waits for the first token. Throws when the backend breaks before it: then nothing has reached the client and the request can go elsewhere.</summary>
    public async Task PrimeAsync()
    {
        var seen = 0;
        while (!await FillAsync())
        {
            // Comments wait with the first event: with them the answer would have begun.
            if (_buffer.Ready == seen)
            {
                _source.Timer.Token.ThrowIfCancellationRequested();
                throw new IOException("The backend ended its answer before the first event.");
            }

            seen = _buffer.Ready;
            if (seen > LongestHeld)
            {
                throw new IOException("The backend sends nothing but comments.");
            }
        }

        Watcher?.FirstToken();
        TellWhole();
    }

    /// <summary>Waits for what the client gets next; false at the end, and when the client has left.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> WaitAsync(CancellationToken cancellationToken)
    {
        if (_buffer.Ready == 0 && Ended == RelayEnd.None)
        {
            if (!_isWrittenTold)
            {
                _isWrittenTold = true;
                Watcher?.FirstTokenWritten();
            }

            await FillOrEndAsync(cancellationToken);
            TellWhole();
        }

        return _buffer.Ready > 0;
    }

    /// <summary>Hands on what is ready. False when the client has left.</summary>
    /// <param name="client">The client's answer; not by a token: a client that has left completes what waits for it.</param>
    public async ValueTask<bool> WriteToAsync(PipeWriter client)
    {
        var written = await client.WriteAsync(_buffer.ReadyBytes, CancellationToken.None);
        _buffer.DropReady();
        return written is { IsCompleted: false, IsCanceled: false };
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (await WaitAsync(cancellationToken))
        {
            return _buffer.Take(buffer.Span);
        }

        cancellationToken.ThrowIfCancellationRequested();
        return 0;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _source.Content.Dispose();
            _buffer.Dispose();
        }

        base.Dispose(disposing);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask FillOrEndAsync(CancellationToken cancellationToken)
    {
        while (!await TryFillAsync(cancellationToken))
        {
            if (_events is not { SawLast: false })
            {
                // All that the client needs is there: how the connection ends does not matter any more.
                Finish();
                return;
            }

            _buffer.DropHeld();
            if (cancellationToken.IsCancellationRequested)
            {
                // Nobody is there to be told.
                Ended = RelayEnd.Broken;
                return;
            }

            if (_events.IsInsideEvent || Watcher is null || _source.Timer.HasExpired || await Watcher.ContinueAsync() is not { } next)
            {
                Break();
                return;
            }

            await _source.Content.DisposeAsync();
            _source = next;
        }
    }

    /// <summary>False when the source has ended, in whatever way; throws for what is no stream of events and broke.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> TryFillAsync(CancellationToken cancellationToken)
    {
        try
        {
            var before = _buffer.Ready;
            if (await FillAsync() || _buffer.Ready > before)
            {
                return true;
            }
        }
        catch (Exception e) when (_events is not null && e is IOException or HttpRequestException or OperationCanceledException)
        {
            return false;
        }

        return _events is not null || !EndsWithItsConnection || _extent.IsWhole
            ? false
            : throw new IOException("The connection ended in the middle of the answer.");
    }

    /// <summary>Reads until at least one more whole event (or any bytes of what is no stream) is ready. False at the end of the source, or for comments only.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> FillAsync()
    {
        var (content, timer) = _source;
        while (_received != Announced)
        {
            using var wait = timer.Begin(_events is { SawLast: true } ? AfterTheLast : null);
            var read = await content.ReadAsync(_buffer.Room(), timer.Token);
            if (read == 0)
            {
                // A stream of events ends in its own way, whatever has ended its source.
                return _events is null && timer.Token.IsCancellationRequested ? throw new OperationCanceledException(timer.Token) : false;
            }

            _buffer.Add(read);
            if (_events is not { } events)
            {
                Pass(read);
                Progress(read);
                return true;
            }

            if (events.Release(_buffer) is { } isToken)
            {
                if (isToken)
                {
                    Progress(read);
                    timer.Progressed();
                }

                return isToken;
            }
        }

        return false;
    }

    private void Progress(int bytes)
    {
        if (_source.OnProgress is { } another)
        {
            another(bytes);
        }
        else
        {
            Watcher?.Progress(bytes);
        }
    }

    /// <summary>What a server sends last it sends when its work is done: nobody need wait until the client has read it, or the connection ended.</summary>
    private void TellWhole()
    {
        var isWhole = Ended == RelayEnd.Complete || (_events is { } events ? events is { SawLast: true, SawError: false } : _received == Announced);
        if (isWhole && !_isWholeTold)
        {
            _isWholeTold = true;
            Watcher?.Whole();
        }
    }

    private void Pass(int read)
    {
        _received += read;
        _usage = TokenUsage.Find(_buffer.Held, _usage);
        if (EndsWithItsConnection)
        {
            _extent.Feed(_buffer.Held);
        }

        _buffer.Release(read);
    }

    /// <summary>The source has said its last word; an error of the backend's own is one, too.</summary>
    private void Finish()
    {
        Ended = _events is { SawError: true } ? RelayEnd.Broken : RelayEnd.Complete;
        if (Ended == RelayEnd.Broken)
        {
            Watcher?.Broken();
        }
    }

    private void Break()
    {
        Ended = _source.Timer.HasExpired ? RelayEnd.TimedOut : RelayEnd.Broken;
        if (_events!.IsInsideEvent)
        {
            // What was already handed on of an event too long to hold must be closed before the next one begins.
            _buffer.Put("\n\n"u8);
        }

        _buffer.Put(StreamEnd.ErrorEvent(_dialect, Ended == RelayEnd.TimedOut ? ApiErrors.StreamSilent : ApiErrors.StreamBroken, _requestId));
        Watcher?.Broken();
    }
}
