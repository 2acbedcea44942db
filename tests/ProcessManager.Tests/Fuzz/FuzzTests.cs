using CsCheck;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.TestKit.Fuzzing;

namespace LlmGateway.ProcessManager.Tests.Fuzz;

/// <summary>What reads the bytes of others here, on mutants of a kept corpus: what children print. The file of an earlier run has its own in <c>OrphanWatchTests</c>.</summary>
public sealed class FuzzTests
{
    [Theory]
    [InlineData("records.txt")]
    [InlineData("output.txt")]
    public void Corpus_IsKept(string corpus) => Assert.InRange(Mutations.Entries(corpus).Length, 5, int.MaxValue);

    [Fact]
    public void LineCutter_OnMutants_GivesTheSameHarmlessLinesHoweverTheyAreCut() => Gen.Select(Mutations.Of("output.txt"), Gen.Int[1, 5000]).Sample(
        (bytes, piece) =>
        {
            var lines = Lines(bytes, piece);
            return lines.SequenceEqual(Lines(bytes, bytes.Length + 1)) && lines.TrueForAll(line => line.Length <= LineCutter.MaxLineBytes * 6 + 20 && !line.Any(c => char.IsControl(c) && c != '\t'));
        },
        iter: 500);

    private static List<string> Lines(byte[] bytes, int piece)
    {
        var lines = new List<string>();
        var cutter = new LineCutter(lines.Add);
        foreach (var chunk in bytes.Chunk(piece))
        {
            cutter.Add(chunk);
        }

        cutter.End();
        return lines;
    }
}
