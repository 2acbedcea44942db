using System.Text;
using System.Text.Json;
using CsCheck;
using LlmGateway.Probes.LlamaServer;

namespace LlmGateway.Probes.Tests.LlamaServer;

public sealed class BusySlotsTests
{
    private static readonly Gen<string> GenValue = OneOf(
        "1", "null", "\"is_processing\"", "[]", """{"is_processing":true}""", """[{"is_processing":true},[true]]""", """{"params":{"stop":["}","]"],"seed":-1.5e3}}""");

    private static readonly Gen<(string Json, bool IsBusy)> GenSlot =
        Gen.Select(Gen.Select(OneOf("id", "params", "is_processing_", "next_token"), GenValue).List[0, 5], OneOf<bool?>(true, false, null), Gen.Int[0, 5])
            .Select((others, busy, at) =>
            {
                var members = others.ConvertAll(other => $"\"{other.Item1}\": {other.Item2}");
                if (busy is not null)
                {
                    members.Insert(Math.Min(at, members.Count), $"\"is_processing\":{(busy.Value ? "true" : "false")}");
                }

                return ($"{{{string.Join(',', members)}}}", busy == true);
            });

    [Fact]
    public void Count_AnySlots_IsThatOfTheBusyOnes() =>
        GenSlot.List[0, 8].Sample(slots => Assert.Equal(slots.Count(slot => slot.IsBusy), Count($"[{string.Join(" , ", slots.Select(slot => slot.Json))}]\n")));

    [Fact]
    public void Count_AnyPartOfAnAnswer_IsRefused()
    {
        const string Whole = """[{"id":0,"is_processing":true,"params":{"a":[1]}},{"id":1,"is_processing":false}]""";
        Assert.Equal(1, Count(Whole));
        for (var length = 0; length < Whole.Length; length++)
        {
            Assert.ThrowsAny<JsonException>(() => Count(Whole[..length]));
        }
    }

    [Theory]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("[1]")]
    [InlineData("[[]]")]
    [InlineData("[] []")]
    [InlineData("""[{"is_processing":1}]""")]
    [InlineData("""[{"is_processing":null}]""")]
    public void Count_JsonOfAnotherShape_IsRefused(string json) => Assert.ThrowsAny<JsonException>(() => Count(json));

    private static Gen<T> OneOf<T>(params T[] values) => Gen.Int[0, values.Length - 1].Select(i => values[i]);

    private static int Count(string json) => BusySlots.Count(Encoding.UTF8.GetBytes(json));
}
