namespace LlmGateway.Gateway.Forwarding.Wire;

/// <summary>Takes the framing of chunks out of a message body, in place, however its bytes are cut. Pure but for its own place in the message.</summary>
internal struct ChunkDecoder
{
    /// <summary>A size of more digits is none.</summary>
    private const int MostDigits = 15;

    /// <summary>Bytes of chunk extensions and trailers, all of a message together.</summary>
    private const int MostIgnored = 64 * 1024;

    private State _state;
    private long _left;
    private int _digits;
    private int _ignored;

    private enum State
    {
        Size,
        Extension,
        SizeEnd,
        Data,
        DataEnd,
        DataLineEnd,
        TrailerStart,
        Trailer,
        LastLineEnd,
        Ended,
    }

    /// <summary>True behind the last byte of the message.</summary>
    public readonly bool IsEnded => _state == State.Ended;

    /// <summary>Moves the data among these bytes to their front.</summary>
    /// <param name="bytes">What has come.</param>
    /// <param name="excess">Bytes behind the end of the message: not this message's.</param>
    /// <returns>Bytes of data.</returns>
    /// <exception cref="IOException">These are no chunks.</exception>
    public int Decode(Span<byte> bytes, out int excess)
    {
        var (written, i) = (0, 0);
        while (i < bytes.Length && _state != State.Ended)
        {
            if (_state == State.Data)
            {
                var count = (int)Math.Min(_left, bytes.Length - i);
                bytes.Slice(i, count).CopyTo(bytes[written..]);
                (written, i, _left) = (written + count, i + count, _left - count);
                _state = _left == 0 ? State.DataEnd : State.Data;
            }
            else
            {
                Step(bytes[i++]);
            }
        }

        excess = bytes.Length - i;
        return written;
    }

    private void Step(byte next)
    {
        switch (_state)
        {
            case State.Size when char.IsAsciiHexDigit((char)next) && _digits < MostDigits:
                _left = (_left << 4) | (uint)HexValue(next);
                _digits++;
                break;
            case State.Size when _digits > 0 && next is (byte)';' or (byte)' ' or (byte)'\t':
                _state = State.Extension;
                break;
            case State.Size or State.Extension when next == '\r' && _digits > 0:
                _state = State.SizeEnd;
                break;
            case State.Extension when next != '\n' && ++_ignored <= MostIgnored:
                break;
            case State.SizeEnd when next == '\n':
                (_state, _digits) = (_left == 0 ? State.TrailerStart : State.Data, 0);
                break;
            case State.DataEnd when next == '\r':
                _state = State.DataLineEnd;
                break;
            case State.DataLineEnd when next == '\n':
                _state = State.Size;
                break;
            case State.TrailerStart when next == '\r':
                _state = State.LastLineEnd;
                break;
            case State.TrailerStart or State.Trailer when ++_ignored <= MostIgnored:
                _state = next == '\n' ? State.TrailerStart : State.Trailer;
                break;
            case State.LastLineEnd when next == '\n':
                _state = State.Ended;
                break;
            default:
                throw new IOException("The answer's chunks are malformed.");
        }
    }

    private static int HexValue(byte digit) => digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;
}
