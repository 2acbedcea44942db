using System.Runtime.CompilerServices;

namespace LlmGateway.Gateway.Forwarding.Wire;

/// <summary>The body of a backend's answer, without its framing. At its end the connection is put aside for the next request; one that is left unread is closed.</summary>
internal sealed class WireBody : ReadOnceStream
{
    private readonly Action<WireConnection>? _putAside;
    private WireConnection? _connection;
    private ChunkDecoder _chunks;
    private long _left;

    /// <param name="connection">Where it comes from.</param>
    /// <param name="head">How it ends.</param>
    /// <param name="putAside">Gets a connection that can be used again; null when none is to be.</param>
    public WireBody(WireConnection connection, AnswerHead head, Action<WireConnection>? putAside)
    {
        (_connection, Head, _left, _putAside) = (connection, head, head.Length ?? 0, putAside);
        if (head.Framing == BodyFraming.None || head is { Framing: BodyFraming.Length, Length: 0 })
        {
            End(excess: 0);
        }
    }

    /// <summary>The head before it.</summary>
    public AnswerHead Head { get; }

    /// <summary>Reads some of it: 0 at its end, and when the exchange's own token has ended it, which costs no exception.</summary>
    /// <exception cref="IOException">It broke off, or its framing is none.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_connection is not { } connection)
        {
            return 0;
        }

        while (true)
        {
            var room = Head.Framing == BodyFraming.Length ? buffer[..(int)Math.Min(buffer.Length, _left)] : buffer;
            var read = await connection.ReadAsync(room);
            if (read == 0)
            {
                var isCut = connection.IsCut;
                End(excess: 0);
                return Head.Framing == BodyFraming.Connection || isCut ? 0 : throw new HttpIOException(HttpRequestError.ResponseEnded, "The connection ended in the middle of the answer.");
            }

            if (Head.Framing != BodyFraming.Chunks)
            {
                _left -= read;
                if (_left == 0 && Head.Framing == BodyFraming.Length)
                {
                    End(excess: 0);
                }

                return read;
            }

            var data = _chunks.Decode(buffer.Span[..read], out var excess);
            if (_chunks.IsEnded)
            {
                End(excess);
            }

            if (data > 0 || _chunks.IsEnded)
            {
                return data;
            }
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            Interlocked.Exchange(ref _connection, null)?.Dispose();
        }

        base.Dispose(disposing);
    }

    /// <summary>Nothing more is read here.</summary>
    /// <param name="excess">Bytes that came behind the end: whatever they are, the connection is out of step.</param>
    private void End(int excess)
    {
        if (Interlocked.Exchange(ref _connection, null) is not { } connection)
        {
            return;
        }

        var isWhole = Head.Framing switch
        {
            BodyFraming.Length => _left == 0,
            BodyFraming.Chunks => _chunks.IsEnded,
            BodyFraming.None => true,
            _ => false,
        };
        if (_putAside is not null && isWhole && Head.KeepsConnection && excess == 0 && connection is { Buffered: 0, HasUnsent: false } && connection.TryRelease())
        {
            _putAside(connection);
        }
        else
        {
            connection.Dispose();
        }
    }
}
