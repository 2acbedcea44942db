using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace LlmGateway.Gateway.Models;

/// <summary>How option values look in JSON; the reader and the schema share it.</summary>
internal static class OptionsJson
{
    public static JsonSerializerOptions Serializer { get; } = Create();

    private static JsonSerializerOptions Create()
    {
        var options = new JsonSerializerOptions
        {
            PropertyNameCaseInsensitive = true,
            NumberHandling = JsonNumberHandling.AllowReadingFromString,
            TypeInfoResolver = new DefaultJsonTypeInfoResolver(),
            WriteIndented = true,
        };
        options.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower, allowIntegerValues: false));
        options.Converters.Add(new TextConverter<TimeSpan>(Duration.TryParse, Duration.Format));
        options.Converters.Add(new TextConverter<ByteSize>(ByteSize.TryParse, size => size.ToString()));
        options.Converters.Add(new TextConverter<PortRange>(PortRange.TryParse, range => range.ToString()));
        options.Converters.Add(new TextConverter<bool>(bool.TryParse, value => value ? "true" : "false"));
        options.MakeReadOnly();
        return options;
    }
}

/// <summary>A value that is written as text; a number or a boolean in the file is read by its own text.</summary>
internal sealed class TextConverter<T>(TextConverter<T>.TryParse tryParse, Func<T, string> format) : JsonConverter<T>
{
    public delegate bool TryParse(string? text, out T value);

    public override T Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        var text = reader.TokenType switch
        {
            JsonTokenType.String => reader.GetString(),
            JsonTokenType.True => "true",
            JsonTokenType.False => "false",
            JsonTokenType.Number when reader.TryGetInt64(out var number) => number.ToString(CultureInfo.InvariantCulture),
            _ => null,
        };
        return tryParse(text, out var value) ? value : throw new JsonException();
    }

    public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options) => writer.WriteStringValue(format(value));
}

/// <summary>A string, or a list of strings.</summary>
internal sealed class OneOrManyConverter : JsonConverter<IReadOnlyList<string>>
{
    public override IReadOnlyList<string>? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.String ? [reader.GetString()!]
            : JsonSerializer.Deserialize<string[]>(ref reader, options) is { } texts && !texts.Contains(null) ? texts
            : throw new JsonException();

    public override void Write(Utf8JsonWriter writer, IReadOnlyList<string> value, JsonSerializerOptions options) =>
        JsonSerializer.Serialize(writer, value, options);
}

/// <summary>Bounds of a duration, both included.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class DurationRangeAttribute(string minimum, string maximum) : ValidationAttribute
{
    public string Minimum { get; } = minimum;

    public string Maximum { get; } = maximum;

    public override bool IsValid(object? value) => value is not TimeSpan duration || (duration >= Duration.Parse(Minimum) && duration <= Duration.Parse(Maximum));

    public override string FormatErrorMessage(string name) => $"must lie between {Minimum} and {Maximum}";
}

/// <summary>Bounds of a size, both included.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class SizeRangeAttribute(string minimum, string maximum) : ValidationAttribute
{
    public string Minimum { get; } = minimum;

    public string Maximum { get; } = maximum;

    public override bool IsValid(object? value) =>
        value is not ByteSize size
        || (ByteSize.TryParse(Minimum, out var low) && ByteSize.TryParse(Maximum, out var high) && size.CompareTo(low) >= 0 && size.CompareTo(high) <= 0);

    public override string FormatErrorMessage(string name) => $"must lie between {Minimum} and {Maximum}";
}
