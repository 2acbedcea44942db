using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LlmGateway.Gateway.Models;

/// <summary>What a model's <c>StripParams</c> and <c>SetParams</c> make of a body: members of an object, or parts of a form, go and come; the bytes of all others stay. Pure.</summary>
internal sealed class BodyRewrite
{
    /// <summary>Bytes of one letter that is written as a <c>\uXXXX</c> escape.</summary>
    private const int LongestLetter = 6;

    private readonly FrozenSet<string>.AlternateLookup<ReadOnlySpan<char>> _dropped;
    private readonly int _longestName;
    private readonly byte[] _added;
    private readonly ImmutableArray<string> _addedParts;

    private BodyRewrite(IReadOnlyList<string> strip, JsonObject set)
    {
        // What is set replaces the client's own: a name must not stand twice.
        var dropped = strip.Concat(set.Select(member => member.Key)).ToFrozenSet(StringComparer.Ordinal);
        _dropped = dropped.GetAlternateLookup<ReadOnlySpan<char>>();
        _longestName = dropped.Max(name => name.Length) * LongestLetter;
        _added = Encoding.UTF8.GetBytes(string.Join(',', set.Select(member => $"{JsonSerializer.Serialize(member.Key)}:{member.Value?.ToJsonString() ?? "null"}")));
        _addedParts = [.. set.Where(member => member.Value is not null).Select(member => $"\r\nContent-Disposition: form-data; name=\"{FieldName(member.Key)}\"\r\n\r\n{TextOf(member.Value!)}\r\n")];
    }

    /// <summary>Bytes by which a body may become longer.</summary>
    public int Growth => _added.Length + 1;

    /// <summary>Bytes by which a form may become longer.</summary>
    public int GrowthOfForm(string boundary) => LineEnd.Length + _addedParts.Sum(part => Delimiter(boundary).Length + Encoding.UTF8.GetByteCount(part));

    /// <summary>True when what is added holds a form's delimiter: such a form can't be written.</summary>
    public bool Holds(string boundary) => _addedParts.Any(part => part.Contains(Delimiter(boundary), StringComparison.Ordinal));

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

    /// <summary>Writes the form that the backend gets.</summary>
    /// <param name="body">A form that <see cref="MultipartForm"/> can read.</param>
    /// <param name="boundary">Its boundary.</param>
    /// <param name="output">At least <see cref="GrowthOfForm"/> bytes longer than the form.</param>
    /// <returns>Bytes written.</returns>
    public int ApplyToForm(ReadOnlySpan<byte> body, string boundary, Span<byte> output)
    {
        var delimiter = Encoding.UTF8.GetBytes(Delimiter(boundary));
        var length = 0;
        foreach (var part in MultipartForm.Parts(body, boundary) ?? throw new ArgumentException("It is no form.", nameof(body)))
        {
            if (part.IsFile || !_dropped.Contains(part.Name))
            {
                Append(delimiter, output, ref length);
                Append(body[part.Whole], output, ref length);
                Append(LineEnd, output, ref length);
            }
        }

        foreach (var part in _addedParts)
        {
            Append(delimiter, output, ref length);
            length += Encoding.UTF8.GetBytes(part, output[length..]);
        }

        Append(delimiter, output, ref length);
        Append("--\r\n"u8, output, ref length);
        return length;
    }

    private static ReadOnlySpan<byte> LineEnd => "\r\n"u8;

    private static string Delimiter(string boundary) => $"--{boundary}";

    /// <summary>As browsers write it.</summary>
    private static string FieldName(string name) =>
        name.Replace("\"", "%22", StringComparison.Ordinal).Replace("\r", "%0D", StringComparison.Ordinal).Replace("\n", "%0A", StringComparison.Ordinal);

    /// <summary>A form's fields have no types: a text is itself.</summary>
    private static string TextOf(JsonNode value) => value is JsonValue text && text.TryGetValue<string>(out var plain) ? plain : value.ToJsonString();

    private static void Append(ReadOnlySpan<byte> bytes, Span<byte> output, ref int length)
    {
        bytes.CopyTo(output[length..]);
        length += bytes.Length;
    }

    private static void Add(ReadOnlySpan<byte> members, Span<byte> output, ref int length)
    {
        if (length > 1)
        {
            output[length++] = (byte)',';
        }

        Append(members, output, ref length);
    }
}
