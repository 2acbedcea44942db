namespace LlmGateway.TinyModel.Tests;

public sealed class ModelShapeTests
{
    [Fact]
    public void Faults_Presets_None() => Assert.All(ModelShape.Presets.Values, shape => Assert.Empty(shape.Faults()));

    [Fact]
    public void Faults_SeveralWrongSizes_NamesEachWithItsValue()
    {
        var faults = (ModelShape.Presets["tiny"] with { Heads = 3, KeyValueHeads = 2, Vocabulary = 10 }).Faults().ToArray();

        Assert.Equal(
            ["--heads 3 must divide --n-embd 64 into even sizes", "--kv-heads 2 must divide --heads 3", "--vocab 10 must be at least 354"],
            faults);
    }

    [Fact]
    public void Faults_SizeOfZero_IsRefusedBeforeItDivides() =>
        Assert.Equal(["every size must be above 0"], (ModelShape.Presets["tiny"] with { Heads = 0 }).Faults());
}
