using System.Text;
using System.Text.Json;
using CsCheck;

namespace LlmGateway.Gateway.Tests;

/// <summary>JSON texts of any shape, with names that matter to the gateway among them.</summary>
internal static class RandomJson
{
    private static readonly Gen<string> Names = Gen.Frequency(
        (3, Gen.OneOf(
            "model", "stream", "n", "prompt", "input", "content", "documents", "max_tokens", "n_predict", "id_slot", "n_discard", "Slots", "Kind", "Queue", "Listen",
            "Probes", "Remotes", "Args", "Environment")),
        (1, Gen.String[0, 8]));

    private static readonly Gen<string> Leaf = Gen.OneOf(
        Gen.OneOf("null", "true", "false", "-1", "0", "1", "1.0", "1e3", "-0", "1e999", "9223372036854775808", "123456789012345678901234567890", "\"\\ud800\"", "\"\\u0000\""),
        Gen.Int[-5, 2000].Select(number => number.ToString(System.Globalization.CultureInfo.InvariantCulture)),
        Gen.String[0, 10].Select(Quoted));

    private static readonly Gen<string> Value = Nested(3);

    /// <summary>Any value.</summary>
    public static Gen<string> Text => Value;

    /// <summary>Any object, of members whose names are often those that matter.</summary>
    public static Gen<string> Object { get; } = Members(Value);

    /// <summary>A text as JSON writes it; some letters as escapes.</summary>
    public static string Escaped(string text, int mask)
    {
        var json = new StringBuilder("\"");
        for (var i = 0; i < text.Length; i++)
        {
            json.Append((mask >> (i % 31) & 1) == 0 ? JsonEncodedText.Encode(text[i].ToString()).ToString() : $"\\u{(int)text[i]:x4}");
        }

        return json.Append('"').ToString();
    }

    private static string Quoted(string text) => JsonSerializer.Serialize(text);

    private static Gen<string> Members(Gen<string> value) =>
        Gen.Select(Names.Select(Gen.Int[0, 1 << 10], (name, mask) => name.All(char.IsAsciiLetterLower) ? Escaped(name, mask) : Quoted(name)), value, (name, member) => $"{name}:{member}")
            .Array[0, 6].Select(members => "{" + string.Join(',', members) + "}");

    private static Gen<string> Nested(int depth) => depth == 0
        ? Leaf
        : Gen.Frequency(
            (3, Leaf),
            (1, Nested(depth - 1).Array[0, 4].Select(items => "[" + string.Join(',', items) + "]")),
            (1, Members(Nested(depth - 1))));
}
