using System.Text.Json;

namespace LlmGateway.Simulator.Api;

/// <summary>Reads request members with the refusals of the real server.</summary>
internal static class Fields
{
    public static bool TryGet(this JsonElement body, string name, out JsonElement value)
    {
        value = default;
        return body.ValueKind == JsonValueKind.Object && body.TryGetProperty(name, out value) && value.ValueKind != JsonValueKind.Null;
    }

    public static bool Flag(this JsonElement body, string name, bool otherwise = false) =>
        !body.TryGet(name, out var value) ? otherwise : value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw WrongType(name, "boolean", value),
        };

    public static string? Text(this JsonElement body, string name) =>
        body.TryGet(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    /// <summary>A whole number within bounds.</summary>
    public static int Number(this JsonElement body, string name, int otherwise, int least = int.MinValue, int most = int.MaxValue)
    {
        if (!body.TryGet(name, out var value))
        {
            return otherwise;
        }

        if (value.ValueKind != JsonValueKind.Number)
        {
            throw WrongType(name, "number", value);
        }

        var number = value.TryGetInt64(out var whole) ? whole : (long)Math.Clamp(value.GetDouble(), long.MinValue, long.MaxValue);
        return number >= least && number <= most
            ? (int)number
            : throw ApiException.Invalid($"Field '{name}': Value must be between {least} <= value <= {most}, but got {number}");
    }

    private static ApiException WrongType(string name, string wanted, JsonElement value) =>
        ApiException.Invalid($"Field '{name}': [json.exception.type_error.302] type must be {wanted}, but is {NameOf(value.ValueKind)}");

    private static string NameOf(JsonValueKind kind) => kind switch
    {
        JsonValueKind.String => "string",
        JsonValueKind.Array => "array",
        JsonValueKind.Object => "object",
        JsonValueKind.Number => "number",
        _ => "boolean",
    };
}
