namespace LlmGateway.TinyModel;

/// <summary>GGUF's kinds of token.</summary>
internal enum TokenKind
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    Byte = 6,
}

/// <summary>One token of a SentencePiece vocabulary; pairs are merged best score first.</summary>
internal readonly record struct Token(string Piece, float Score, TokenKind Kind);

/// <summary>
/// A SentencePiece vocabulary with byte fallback that holds whole English words, so that a prompt of n words out of
/// <see cref="Words"/> is n tokens and easy to size. Other text falls back to shorter pieces, single characters and bytes.
/// </summary>
internal static class Vocabulary
{
    public const int Unknown = 0;
    public const int Begin = 1;
    public const int End = 2;

    /// <summary>The first tokens are controls and the 256 bytes; what a reply is made of comes after them.</summary>
    public const int FirstText = 3 + 256;

    private const char Space = '\u2581';

    private static readonly string[] Singles = [$"{Space}", .. Enumerable.Range('!', '~' - '!' + 1).Select(code => $"{(char)code}")];

    /// <summary>The words that are one token each, in vocabularies of 2048 tokens and more.</summary>
    public static IReadOnlyList<string> Words { get; } = ReadWords();

    public static int SmallestSize => FirstText + Singles.Length;

    /// <summary>A vocabulary of exactly <paramref name="size"/> tokens.</summary>
    public static IReadOnlyList<Token> Create(int size)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, SmallestSize);

        var tokens = new List<Token>(size)
        {
            new("<unk>", 0, TokenKind.Unknown),
            new("<s>", 0, TokenKind.Control),
            new("</s>", 0, TokenKind.Control),
        };
        tokens.AddRange(Enumerable.Range(0, 256).Select(value => new Token($"<0x{value:X2}>", 0, TokenKind.Byte)));

        var pieces = Prefixes().Concat(Fillers()).Distinct().Take(size - tokens.Count - Singles.Length).ToList();
        while (tokens.Count + pieces.Count + Singles.Length < size)
        {
            pieces.Add($"{Space}x{pieces.Count}");
        }

        tokens.AddRange(pieces.Select((piece, rank) => new Token(piece, -1f - (rank / 10f), TokenKind.Normal)));
        tokens.AddRange(Singles.Select((piece, rank) => new Token(piece, -100_000f - rank, TokenKind.Normal)));
        return tokens;
    }

    // Pairs are merged greedily, so every prefix of a word must be a piece of its own.
    private static IEnumerable<string> Prefixes() =>
        Words.SelectMany(word => Enumerable.Range(1, word.Length).Select(length => Space + word[..length]));

    private static IEnumerable<string> Fillers()
    {
        var syllables = "bcdfghjklmnprstvwyz".SelectMany(consonant => "aeiou".Select(vowel => $"{consonant}{vowel}")).ToArray();
        return syllables.Concat(syllables.SelectMany(first => syllables.Select(second => first + second)));
    }

    private static string[] ReadWords()
    {
        using var stream = typeof(Vocabulary).Assembly.GetManifestResourceStream("words.txt")!;
        using var reader = new StreamReader(stream);
        return [.. reader.ReadToEnd().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Distinct()];
    }
}
