using System.Buffers.Binary;
using System.Text;

namespace LlmGateway.Simulator.Engine;

/// <summary>A reversible tokenizer without a vocabulary file: a run of one to four small letters with an optional space before it is one token, any other byte is one.</summary>
internal static class Tokenizer
{
    public const int Begin = 1;
    public const int End = 2;
    public const int VocabularySize = FirstWord + (2 * WordsPerForm);

    private const int FirstByte = 3;
    private const int FirstWord = FirstByte + 256;
    private const int LongestWord = 4;
    private const int WordsPerForm = 26 + (26 * 26) + (26 * 26 * 26) + (26 * 26 * 26 * 26);

    /// <summary>Appends the tokens of <paramref name="text"/>.</summary>
    public static void Encode(ReadOnlySpan<char> text, List<int> tokens)
    {
        Span<byte> utf8 = stackalloc byte[4];
        var i = 0;
        while (i < text.Length)
        {
            var space = text[i] == ' ';
            var start = space ? i + 1 : i;
            var end = start;
            while (end < text.Length && end - start < LongestWord && char.IsAsciiLetterLower(text[end]))
            {
                end++;
            }

            if (end > start)
            {
                tokens.Add(Word(space, text[start..end]));
                i = end;
                continue;
            }

            if (Rune.DecodeFromUtf16(text[i..], out var rune, out var consumed) != System.Buffers.OperationStatus.Done)
            {
                rune = Rune.ReplacementChar;
            }

            i += Math.Max(consumed, 1);
            foreach (var b in utf8[..rune.EncodeToUtf8(utf8)])
            {
                tokens.Add(FirstByte + b);
            }
        }
    }

    /// <summary>The text of one token, as bytes: a byte token may be part of a character.</summary>
    public static void Decode(int token, List<byte> utf8)
    {
        switch (token)
        {
            case Begin:
                utf8.AddRange("<s>"u8);
                break;
            case End:
                utf8.AddRange("</s>"u8);
                break;
            case >= FirstByte and < FirstWord:
                utf8.Add((byte)(token - FirstByte));
                break;
            case >= FirstWord and < VocabularySize:
                AppendWord(token - FirstWord, utf8);
                break;
            default:
                break;
        }
    }

    public static string Decode(ReadOnlySpan<int> tokens)
    {
        var utf8 = new List<byte>(tokens.Length * 4);
        foreach (var token in tokens)
        {
            Decode(token, utf8);
        }

        return Encoding.UTF8.GetString([.. utf8]);
    }

    /// <summary>A number that depends on every token, the same in every process.</summary>
    public static ulong Hash(ReadOnlySpan<int> tokens)
    {
        var hash = 14695981039346656037UL;
        foreach (var token in tokens)
        {
            hash = Hash(hash, token);
        }

        return hash;
    }

    /// <summary>The same for one more token.</summary>
    public static ulong Hash(ulong hash, int token) => (hash ^ (uint)BinaryPrimitives.ReverseEndianness(token)) * 1099511628211UL;

    // Words are numbered by form (without, with space), then by length, then alphabetically.
    private static int Word(bool space, ReadOnlySpan<char> letters)
    {
        var (number, shorter, power) = (0, 0, 26);
        foreach (var letter in letters)
        {
            number = (number * 26) + (letter - 'a');
        }

        for (var length = 1; length < letters.Length; length++, power *= 26)
        {
            shorter += power;
        }

        return FirstWord + (space ? WordsPerForm : 0) + shorter + number;
    }

    private static void AppendWord(int word, List<byte> utf8)
    {
        if (word >= WordsPerForm)
        {
            utf8.Add((byte)' ');
            word -= WordsPerForm;
        }

        var (length, power) = (1, 26);
        while (word >= power)
        {
            word -= power;
            power *= 26;
            length++;
        }

        for (var divisor = power / 26; length > 0; length--, divisor /= 26)
        {
            utf8.Add((byte)('a' + (word / Math.Max(divisor, 1) % 26)));
        }
    }
}
