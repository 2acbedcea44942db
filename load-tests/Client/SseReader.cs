using System.Buffers;

namespace LlmGateway.LoadTests.Client;

/// <summary>Cuts a byte stream into server-sent events, as it comes and without copying: a buffer from the pool, read into, scanned once.</summary>
/// <remarks>
/// <code>
/// reader.Advance(await stream.ReadAsync(reader.Free()));
/// while (reader.TryRead(out var e)) { … }        // e is valid until the next call of any member
/// </code>
/// Lines end with LF, CR or CRLF; several data lines are joined by LF in place; comments and fields other than data and event are skipped.
/// </remarks>
internal sealed class SseReader(int initialBytes = 4096, int maxEventBytes = 4 * 1024 * 1024) : IDisposable
{
    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(initialBytes);
    private int _line;          // where the line that is being looked at starts
    private int _scanned;       // no line end before this
    private int _end;           // end of what has been read
    private int _data = -1;     // start of the event's data so far
    private int _dataEnd;
    private bool _isError;
    private bool _skipLineFeed; // a CR ended the last line: an LF directly behind belongs to it
    private bool _isBegun;

    /// <summary>Comment lines seen, such as keep-alive pings.</summary>
    public int Comments { get; private set; }

    /// <summary>True while part of an event is held: at the stream's end, half an event.</summary>
    public bool HasPart => _data >= 0 || _line < _end;

    /// <summary>Where the next bytes go.</summary>
    /// <exception cref="InvalidDataException">An event is longer than the limit.</exception>
    public Memory<byte> Free()
    {
        var keep = _data >= 0 ? _data : _line;
        if (keep == _end && _data < 0)
        {
            (_line, _scanned, _end) = (0, 0, 0);
        }
        else if (keep > 0 && _buffer.Length - _end < _buffer.Length / 2)
        {
            _buffer.AsSpan(keep, _end - keep).CopyTo(_buffer);
            Shift(-keep);
        }

        if (_end == _buffer.Length)
        {
            if (_buffer.Length >= maxEventBytes)
            {
                throw new InvalidDataException($"an event of more than {maxEventBytes} bytes");
            }

            var larger = ArrayPool<byte>.Shared.Rent(_buffer.Length * 2);
            _buffer.AsSpan(0, _end).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
        }

        return _buffer.AsMemory(_end);
    }

    /// <summary>So many bytes were put there.</summary>
    public void Advance(int count) => _end += count;

    /// <summary>The next whole event with data.</summary>
    public bool TryRead(out SseEvent e)
    {
        e = default;
        if (!_isBegun && !TryBegin())
        {
            return false;
        }

        while (true)
        {
            if (_skipLineFeed && _line < _end)
            {
                _skipLineFeed = false;
                if (_buffer[_line] == '\n')
                {
                    _line++;
                    _scanned = Math.Max(_scanned, _line);
                }
            }

            var length = _buffer.AsSpan(_scanned, _end - _scanned).IndexOfAny((byte)'\n', (byte)'\r');
            if (length < 0)
            {
                _scanned = _end;
                return false;
            }

            var (start, end) = (_line, _scanned + length);
            _skipLineFeed = _buffer[end] == '\r';
            _line = _scanned = end + 1;
            if (end > start)
            {
                Field(start, end);
            }
            else if (_data >= 0)
            {
                e = new SseEvent(_buffer.AsSpan(_data, _dataEnd - _data), _isError);
                (_data, _isError) = (-1, false);
                return true;
            }
            else
            {
                _isError = false;
            }
        }
    }

    public void Dispose()
    {
        if (_buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = [];
        }
    }

    // A byte order mark may stand at the very beginning.
    private bool TryBegin()
    {
        ReadOnlySpan<byte> mark = [0xEF, 0xBB, 0xBF];
        var seen = _buffer.AsSpan(0, Math.Min(_end, mark.Length));
        if (seen.Length < mark.Length && mark.StartsWith(seen))
        {
            return false;
        }

        _line = _scanned = seen.SequenceEqual(mark) ? mark.Length : 0;
        return _isBegun = true;
    }

    private void Field(int start, int end)
    {
        var line = _buffer.AsSpan(start, end - start);
        var colon = line.IndexOf((byte)':');
        if (colon == 0)
        {
            Comments++;
            return;
        }

        var name = colon < 0 ? line : line[..colon];
        var value = colon < 0 ? end : start + colon + 1;
        if (value < end && _buffer[value] == ' ')
        {
            value++;
        }

        if (name.SequenceEqual("data"u8))
        {
            if (_data < 0)
            {
                (_data, _dataEnd) = (value, end);
                return;
            }

            // Moves left, or not at all: the line before ended with at least one byte that is not data, and this one begins with its name.
            _buffer[_dataEnd++] = (byte)'\n';
            _buffer.AsSpan(value, end - value).CopyTo(_buffer.AsSpan(_dataEnd));
            _dataEnd += end - value;
        }
        else if (name.SequenceEqual("event"u8))
        {
            _isError = _buffer.AsSpan(value, end - value).SequenceEqual("error"u8);
        }
    }

    private void Shift(int by)
    {
        _line += by;
        _scanned += by;
        _end += by;
        _dataEnd += by;
        _data = _data < 0 ? -1 : _data + by;
    }
}

/// <summary>One event.</summary>
/// <param name="data">Its data lines, joined.</param>
/// <param name="isError">Its type is <c>error</c>.</param>
internal readonly ref struct SseEvent(ReadOnlySpan<byte> data, bool isError)
{
    public ReadOnlySpan<byte> Data { get; } = data;

    public bool IsError { get; } = isError;

    /// <summary>The end of an OpenAI stream.</summary>
    public bool IsDone => Data.SequenceEqual("[DONE]"u8);
}
