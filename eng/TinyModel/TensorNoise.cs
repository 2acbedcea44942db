using System.Buffers.Binary;

namespace LlmGateway.TinyModel;

/// <summary>
/// Half-precision noise. The generator is written out (SplitMix64) because a file must have the same bytes on every
/// version of .NET, which <see cref="Random"/> doesn't promise.
/// </summary>
internal sealed class TensorNoise(ulong seed)
{
    private const ulong EachOfFour = 0x0001_0001_0001_0001;
    private const ulong SignAndMantissa = 0x83FF * EachOfFour;
    private const ulong LowestExponentBit = 0x0400 * EachOfFour;

    private ulong _state = seed;

    /// <summary>Fills with little-endian F16 numbers of either sign, their size about <paramref name="deviation"/> (to a power of two).</summary>
    /// <param name="halves">The bytes of the numbers; a multiple of eight of them.</param>
    /// <param name="deviation">About the standard deviation.</param>
    public void Fill(Span<byte> halves, double deviation)
    {
        // Random sign and mantissa, and one of two neighbouring exponents, four numbers at a time: no rounding, no rejection.
        var exponent = (ulong)Math.Clamp(15 + (int)Math.Floor(Math.Log2(deviation / 1.2)), 1, 29);
        var exponents = (exponent << 10) * EachOfFour;
        for (var at = 0; at < halves.Length; at += sizeof(ulong))
        {
            var bits = Next();
            BinaryPrimitives.WriteUInt64LittleEndian(halves[at..], (bits & SignAndMantissa) | (exponents + (bits & LowestExponentBit)));
        }
    }

    /// <summary>The same for any kind of weights but F32: blocks of random integers under a scale that makes about the deviation.</summary>
    public void Fill(Span<byte> bytes, TensorKind kind, double deviation)
    {
        if (kind == TensorKind.F16)
        {
            Fill(bytes, deviation);
            return;
        }

        var block = kind.Block().Bytes;
        for (var at = 0; at < bytes.Length; at += block)
        {
            var one = bytes.Slice(at, block);
            for (var i = 0; i < block; i += sizeof(ulong))
            {
                var random = Next();
                for (var j = i; j < Math.Min(i + sizeof(ulong), block); j++, random >>= 8)
                {
                    one[j] = (byte)random;
                }
            }

            // Integers of 4 bits spread by 4.6, of 8 bits by 74; Q4_K has a second scale (of 6 bits) above, and an offset to take off.
            var scale = (Half)(deviation / (kind is TensorKind.Q80 ? 74 : kind is TensorKind.Q40 ? 4.6 : 4.6 * 32));
            BinaryPrimitives.WriteHalfLittleEndian(one, scale);
            if (kind is TensorKind.Q4K)
            {
                BinaryPrimitives.WriteHalfLittleEndian(one[2..], (Half)((double)scale * 7.5));
            }
        }
    }

    private ulong Next()
    {
        var mixed = _state += 0x9E37_79B9_7F4A_7C15;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58_476D_1CE4_E5B9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D0_49BB_1331_11EB;
        return mixed ^ (mixed >> 31);
    }
}
