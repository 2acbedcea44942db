using System.Buffers.Binary;
using System.Text;

namespace LlmGateway.ProcessManager.Memory;

/// <summary>Reads GGUF's primitives off a stream that nobody trusts: every length is checked before anything is allocated for it.</summary>
internal sealed class GgufStream(Stream stream, long length)
{
    /// <summary>A header longer than this is refused: the largest vocabularies take 15 MiB.</summary>
    public const long MostBytes = 256L << 20;

    /// <summary>Longest text that is kept.</summary>
    public const int MostText = 64 * 1024;

    private readonly byte[] _buffer = new byte[64 * 1024];
    private int _at;
    private int _end;

    /// <summary>Bytes read so far.</summary>
    public long Position { get; private set; }

    public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(sizeof(uint)));

    public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(sizeof(ulong)));

    public byte Byte() => Take(1)[0];

    public ReadOnlySpan<byte> Take(int count)
    {
        Require((ulong)count);
        if (_end - _at < count)
        {
            _buffer.AsSpan(_at, _end - _at).CopyTo(_buffer);
            (_end, _at) = (_end - _at, 0);
            var read = stream.ReadAtLeast(_buffer.AsSpan(_end), count - _end, throwOnEndOfStream: false);
            _end += read;
            if (_end < count)
            {
                throw new GgufException("It ends in the middle of its header.");
            }
        }

        var taken = _buffer.AsSpan(_at, count);
        _at += count;
        Position += count;
        return taken;
    }

    /// <summary>Text of at most <see cref="MostText"/> bytes.</summary>
    public string Text()
    {
        var size = UInt64();
        return size <= MostText ? Encoding.UTF8.GetString(Take((int)size)) : throw new GgufException("A name in it is too long.");
    }

    /// <summary>Passes over text of any length.</summary>
    public void SkipText() => Skip(UInt64());

    public void Skip(ulong count)
    {
        Require(count);
        var buffered = (int)Math.Min(count, (ulong)(_end - _at));
        _at += buffered;
        var rest = (long)count - buffered;
        if (rest > 0)
        {
            if (stream.CanSeek)
            {
                stream.Seek(rest, SeekOrigin.Current);
            }
            else
            {
                for (; rest > 0; rest -= Math.Min(rest, _buffer.Length))
                {
                    stream.ReadExactly(_buffer.AsSpan(0, (int)Math.Min(rest, _buffer.Length)));
                }
            }
        }

        Position += (long)count;
    }

    private void Require(ulong count)
    {
        if (count > (ulong)(length - Position))
        {
            throw new GgufException("It ends in the middle of its header.");
        }

        if (count > (ulong)(MostBytes - Position))
        {
            throw new GgufException($"Its header is longer than {MostBytes >> 20} MiB.");
        }
    }
}
