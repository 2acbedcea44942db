using System.Buffers;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Pooled bytes between a backend and its client: first those that are ready for the client, then those that are held back until more has come.</summary>
/// <remarks>It holds no memory while it is empty and nothing is awaited. Not safe for two at once.</remarks>
internal sealed class RelayBuffer : IDisposable
{
    /// <summary>A few events: each stream that waits holds so much.</summary>
    private const int First = 2 * 1024;

    private byte[]? _buffer;
    private int _start;
    private int _ready;
    private int _length;

    public int Ready => _ready - _start;

    public ReadOnlyMemory<byte> ReadyBytes => _buffer.AsMemory(_start, Ready);

    public ReadOnlySpan<byte> Held => _buffer.AsSpan(_ready, _length - _ready);

    public bool IsEmpty => _length == _start;

    /// <summary>Where the next bytes go; never empty.</summary>
    public Memory<byte> Room()
    {
        _buffer ??= ArrayPool<byte>.Shared.Rent(First);
        if (_length == _buffer.Length)
        {
            var used = _buffer.AsSpan(_start, _length - _start);
            var target = used.Length > _buffer.Length / 2 ? ArrayPool<byte>.Shared.Rent(_buffer.Length * 2) : _buffer;
            used.CopyTo(target);
            if (target != _buffer)
            {
                ArrayPool<byte>.Shared.Return(_buffer);
                _buffer = target;
            }

            (_start, _ready, _length) = (0, _ready - _start, used.Length);
        }

        return _buffer.AsMemory(_length);
    }

    /// <summary>So many bytes have been put into the room.</summary>
    public void Add(int count) => _length += count;

    /// <summary>So many of the held bytes are ready now.</summary>
    public void Release(int count) => _ready += count;

    /// <summary>Forgets what is held.</summary>
    public void DropHeld()
    {
        _length = _ready;
        ReturnIfEmpty();
    }

    /// <summary>Forgets what is ready.</summary>
    public void DropReady()
    {
        _start = _ready;
        ReturnIfEmpty();
    }

    /// <summary>Adds bytes that are ready at once; only while nothing is held.</summary>
    public void Put(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var room = Room().Span;
            var count = Math.Min(room.Length, bytes.Length);
            bytes[..count].CopyTo(room);
            bytes = bytes[count..];
            Add(count);
            Release(count);
        }
    }

    /// <summary>Takes ready bytes out.</summary>
    public int Take(Span<byte> target)
    {
        var count = Math.Min(target.Length, Ready);
        _buffer.AsSpan(_start, count).CopyTo(target);
        _start += count;
        ReturnIfEmpty();
        return count;
    }

    public void Dispose()
    {
        _length = _ready = _start;
        ReturnIfEmpty();
    }

    private void ReturnIfEmpty()
    {
        if (IsEmpty && _buffer is { } buffer)
        {
            _buffer = null;
            (_start, _ready, _length) = (0, 0, 0);
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
