namespace LlmGateway.Simulator.Engine;

/// <summary>The text of the pretended model: a pure function of the prompt and the position, so that two replicas say the same.</summary>
internal static class Babble
{
    // Each word is one token with its space, so that an answer sent back as history is the same tokens again.
    private static readonly string[] Pieces =
    [
        " the", " time", " tree", " and", " come", " over", " road", " blue", " fish", " hand", " rain", " once", " more", " wind", " song", " deep",
        " cold", " fire", " home", " long", " way", " is", " not", " far", " we", " go", " by", " sea", " ship", " sail", " near", " isle",
        " moon", " star", " wake", " up", " old", " king", " has", " gold", " ring", " lost", " in", " sand", " dune", " hill", " bird", " sing",
        " low", " tide", " take", " boat", " back", " now", " said", " man", " with", " red", " hat", " or", " cat", " sees", " a", " door",
    ];

    private static readonly int[] Tokens = Array.ConvertAll(Pieces, TokenOf);

    /// <summary>Number of different pieces.</summary>
    public static int Count => Pieces.Length;

    /// <summary>Which piece follows a prompt of this hash at this position.</summary>
    public static int At(ulong promptHash, int position)
    {
        // SplitMix64: one step gives 64 well mixed bits, and needs no state.
        var z = promptHash + (((ulong)position + 1) * 0x9E3779B97F4A7C15UL);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return (int)((z ^ (z >> 31)) % (ulong)Pieces.Length);
    }

    public static string Text(int piece) => Pieces[piece];

    public static int Token(int piece) => Tokens[piece];

    private static int TokenOf(string piece)
    {
        var tokens = new List<int>(1);
        Tokenizer.Encode(piece, tokens);
        return tokens is [var only] ? only : throw new InvalidOperationException($"'{piece}' is not one token");
    }
}
