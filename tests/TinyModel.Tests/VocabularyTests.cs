namespace LlmGateway.TinyModel.Tests;

public sealed class VocabularyTests
{
    [Theory]
    [InlineData(354)]
    [InlineData(2048)]
    [InlineData(20_000)]
    public void Create_AnySize_HasExactlyThatManyDifferentPieces(int size) =>
        Assert.Equal(size, Vocabulary.Create(size).Select(token => token.Piece).Distinct().Count());

    [Fact]
    public void Create_From2048Tokens_HoldsEveryWordWhole()
    {
        var pieces = Vocabulary.Create(2048).Select(token => token.Piece).ToHashSet();

        Assert.Equal(356, Vocabulary.Words.Count);
        Assert.All(Vocabulary.Words, word => Assert.Contains($"\u2581{word}", pieces));
    }

    [Fact]
    public void Create_AnySize_PutsControlsAndBytesFirst()
    {
        var tokens = Vocabulary.Create(2048);

        Assert.Equal(["<unk>", "<s>", "</s>", "<0x00>"], tokens.Take(4).Select(token => token.Piece));
        Assert.All(tokens.Take(Vocabulary.FirstText), token => Assert.NotEqual(TokenKind.Normal, token.Kind));
        Assert.All(tokens.Skip(Vocabulary.FirstText), token => Assert.Equal(TokenKind.Normal, token.Kind));
    }
}
