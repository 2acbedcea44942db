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

    /// <summary>How many tokens at the end of a prompt are what would be said behind the rest of it: an answer that was begun elsewhere is gone on with.</summary>
    public static int AlreadySaid(ReadOnlySpan<int> prompt)
    {
        if (prompt.IsEmpty || Array.IndexOf(Tokens, prompt[^1]) < 0)
        {
            return 0;
        }

        var hash = Tokenizer.Hash([]);
        for (var start = 0; start < prompt.Length; start++)
        {
            var said = 0;
            while (start + said < prompt.Length && Tokens[At(hash, said)] == prompt[start + said])
            {
                said++;
            }

            if (start + said == prompt.Length)
            {
                return said;
            }

            hash = Tokenizer.Hash(hash, prompt[start]);
        }

        return 0;
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
