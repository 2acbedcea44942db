using System.Collections.Frozen;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LlmGateway.Gateway.Models;

/// <summary>What a model's <c>StripParams</c> and <c>SetParams</c> make of a JSON body: members go and come, the bytes of all others stay. Pure.</summary>
internal sealed class BodyRewrite
{
    /// <summary>Bytes of one letter that is written as a <c>\uXXXX</c> escape.</summary>
    private const int LongestLetter = 6;

    private readonly FrozenSet<string>.AlternateLookup<ReadOnlySpan<char>> _dropped;
    private readonly int _longestName;
    private readonly byte[] _added;

    private BodyRewrite(IReadOnlyList<string> strip, JsonObject set)
    {
        // What is set replaces the client's own: a name must not stand twice.
        var dropped = strip.Concat(set.Select(member => member.Key)).ToFrozenSet(StringComparer.Ordinal);
        _dropped = dropped.GetAlternateLookup<ReadOnlySpan<char>>();
        _longestName = dropped.Max(name => name.Length) * LongestLetter;
        _added = Encoding.UTF8.GetBytes(string.Join(',', set.Select(member => $"{JsonSerializer.Serialize(member.Key)}:{member.Value?.ToJsonString() ?? "null"}")));
    }

    /// <summary>Bytes by which a body may become longer.</summary>
    public int Growth => _added.Length + 1;

    /// <summary>The model's rewrite, or null when its bodies are the clients' own.</summary>
    public static BodyRewrite? Of(ModelOptions options) =>
        options.StripParams.Count > 0 || options.SetParams.Count > 0 ? new BodyRewrite(options.StripParams, options.SetParams) : null;

    /// <summary>Writes the body that the backend gets.</summary>
    /// <param name="body">An object that a JSON reader accepts.</param>
    /// <param name="output">At least <see cref="Growth"/> bytes longer than the body.</param>
    /// <returns>Bytes written.</returns>
    public int Apply(ReadOnlySpan<byte> body, Span<byte> output)
    {
        var reader = new Utf8JsonReader(body);
        var name = new char[_longestName];
        var length = 0;
        reader.Read();
        output[length++] = (byte)'{';
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var start = (int)reader.TokenStartIndex;
            var isDropped = reader.ValueSpan.Length <= _longestName && _dropped.Contains(name.AsSpan(0, reader.CopyString(name)));
            reader.Read();
            reader.Skip();
            if (!isDropped)
            {
                Add(body[start..(int)reader.BytesConsumed], output, ref length);
            }
        }

        if (_added.Length > 0)
        {
            Add(_added, output, ref length);
        }

        output[length++] = (byte)'}';
        return length;
    }

    private static void Add(ReadOnlySpan<byte> members, Span<byte> output, ref int length)
    {
        if (length > 1)
        {
            output[length++] = (byte)',';
        }

        members.CopyTo(output[length..]);
        length += members.Length;
    }
}
