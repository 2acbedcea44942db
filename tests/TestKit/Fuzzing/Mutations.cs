using System.Text;
using CsCheck;

namespace LlmGateway.TestKit.Fuzzing;

/// <summary>
/// Inputs made of a kept corpus (a file per target in the tests' <c>Fuzz/Corpus</c>, its entries divided by lines of <c>====</c>) by flips, cuts, insertions, repetitions and splices.
/// What once broke a target is added to its file.
/// </summary>
/// <remarks>
/// CsCheck prints the seed of a failure, and <c>CsCheck_Seed</c> replays it. <c>CsCheck_Time=600</c> runs each target for ten minutes instead of a moment.
/// </remarks>
public static class Mutations
{
    private const int Longest = 64 * 1024;

    /// <summary>Bytes that parsers treat in a way of their own.</summary>
    private static readonly byte[][] Tokens =
    [
        "\0"u8.ToArray(), "\r\n"u8.ToArray(), "\n\n"u8.ToArray(), "\r"u8.ToArray(), "\""u8.ToArray(), "\\"u8.ToArray(), "\\ud800"u8.ToArray(), "{"u8.ToArray(), "}"u8.ToArray(),
        "["u8.ToArray(), "]"u8.ToArray(), ":"u8.ToArray(), ","u8.ToArray(), "/"u8.ToArray(), "%2f"u8.ToArray(), "../"u8.ToArray(), "-1"u8.ToArray(), "1e999"u8.ToArray(),
        "18446744073709551616"u8.ToArray(), "data: "u8.ToArray(), "event: "u8.ToArray(), [0xFF], [0xC3], [0xEF, 0xBB, 0xBF], [0xF0, 0x9F, 0x98], "null"u8.ToArray(), "true"u8.ToArray(),
    ];

    /// <summary>Mutants of a corpus, up to 64 KiB each.</summary>
    public static Gen<byte[]> Of(string corpus)
    {
        var entries = Entries(corpus);
        return Gen.Select(Gen.OneOf(entries), Gen.OneOf(entries), Change.Array[0, 12]).Select(
            (entry, other, changes) => changes.Aggregate(entry, (bytes, change) => change(bytes[..Math.Min(bytes.Length, Longest)], other)));
    }

    /// <summary>The entries themselves.</summary>
    public static byte[][] Entries(string corpus) =>
        [.. File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Fuzz", "Corpus", corpus)).Split("\n====\n").Select(Encoding.UTF8.GetBytes)];

    private static Gen<Func<byte[], byte[], byte[]>> Change { get; } = Gen.Select(Gen.Int[0, 6], Gen.Int[0, Longest], Gen.Int[0, 64], Gen.OneOf(Tokens), Gen.Byte)
        .Select<int, int, int, byte[], byte, Func<byte[], byte[], byte[]>>((kind, at, length, token, value) => (bytes, other) =>
        {
            var start = bytes.Length == 0 ? 0 : at % (bytes.Length + 1);
            var end = Math.Min(bytes.Length, start + length);
            return kind switch
            {
                0 when start < bytes.Length => [.. bytes[..start], value, .. bytes[(start + 1)..]],
                1 => [.. bytes[..start], .. bytes[end..]],
                2 => [.. bytes[..start], .. token, .. bytes[start..]],
                3 => [.. bytes[..end], .. bytes[start..end], .. bytes[end..]],
                4 => [.. bytes[..start], .. other[Math.Min(other.Length, at % (other.Length + 1))..]],
                5 => [.. bytes[..start], .. Enumerable.Repeat(token, length).SelectMany(one => one), .. bytes[start..]],
                _ => bytes[..start],
            };
        });
}
