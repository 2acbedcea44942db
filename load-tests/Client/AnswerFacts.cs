using System.Text;
using System.Text.Json;

namespace LlmGateway.LoadTests.Client;

/// <summary>What matters of a chunk, an answer or an error: read in one pass, without a document.</summary>
internal struct AnswerFacts
{
    private int _content;
    private int _contentLength;
    private byte[]? _unescaped;

    /// <summary>It brought text, reasoning or a tool call.</summary>
    public bool HasToken;

    /// <summary>The choice says why it ended.</summary>
    public bool HasFinish;

    /// <summary>There is an error object.</summary>
    public bool HasError;

    /// <summary>Code of the error, else its type.</summary>
    public string? ErrorCode;

    /// <summary>From the usage, when there is one.</summary>
    public int? CompletionTokens;

    /// <summary>The stand-in says so itself, so that its text can be foretold.</summary>
    public bool IsSimulated;

    /// <summary>Text of the first choice, UTF-8; empty when there is none.</summary>
    /// <param name="json">What the facts were read from.</param>
    public readonly ReadOnlySpan<byte> Content(ReadOnlySpan<byte> json) => _unescaped ?? json.Slice(_content, _contentLength);

    /// <summary>Reads one JSON object.</summary>
    /// <returns>False when it is none.</returns>
    public static bool TryRead(ReadOnlySpan<byte> json, out AnswerFacts facts)
    {
        facts = default;
        try
        {
            var reader = new Utf8JsonReader(json);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            {
                return false;
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals("choices"u8))
                {
                    facts.Choices(ref reader);
                }
                else if (reader.ValueTextEquals("error"u8))
                {
                    facts.Error(ref reader);
                }
                else if (reader.ValueTextEquals("usage"u8))
                {
                    facts.Usage(ref reader);
                }
                else if (reader.ValueTextEquals("system_fingerprint"u8))
                {
                    reader.Read();
                    facts.IsSimulated = reader.TokenType == JsonTokenType.String && reader.ValueSpan.EndsWith("-simulator"u8);
                }
                else
                {
                    reader.Skip();
                }
            }

            return !reader.Read();
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private void Choices(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
        {
            reader.Skip();
            return;
        }

        for (var i = 0; reader.Read() && reader.TokenType != JsonTokenType.EndArray; i++)
        {
            if (i > 0 || reader.TokenType != JsonTokenType.StartObject)
            {
                reader.Skip();
                continue;
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals("delta"u8) || reader.ValueTextEquals("message"u8))
                {
                    reader.Read();
                    Message(ref reader);
                }
                else if (reader.ValueTextEquals("text"u8))
                {
                    Text(ref reader);
                }
                else if (reader.ValueTextEquals("finish_reason"u8))
                {
                    reader.Read();
                    HasFinish = reader.TokenType == JsonTokenType.String;
                }
                else
                {
                    reader.Skip();
                }
            }
        }
    }

    private void Message(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            reader.Skip();
            return;
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("content"u8))
            {
                Text(ref reader);
            }
            else if (reader.ValueTextEquals("reasoning_content"u8) || reader.ValueTextEquals("tool_calls"u8))
            {
                reader.Read();
                HasToken |= reader.TokenType != JsonTokenType.Null;
                reader.Skip();
            }
            else
            {
                reader.Skip();
            }
        }
    }

    private void Text(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.String)
        {
            reader.Skip();
            return;
        }

        (_content, _contentLength) = ((int)reader.TokenStartIndex + 1, reader.ValueSpan.Length);
        _unescaped = reader.ValueIsEscaped ? Encoding.UTF8.GetBytes(reader.GetString()!) : null;
        HasToken |= _contentLength > 0;
    }

    private void Error(ref Utf8JsonReader reader)
    {
        reader.Read();
        HasError = reader.TokenType != JsonTokenType.Null;
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            reader.Skip();
            return;
        }

        string? type = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var (isCode, isType) = (reader.ValueTextEquals("code"u8), reader.ValueTextEquals("type"u8));
            reader.Read();
            if (isCode)
            {
                ErrorCode = Word(ref reader);
            }
            else if (isType)
            {
                type = Word(ref reader);
            }
            else
            {
                reader.Skip();
            }
        }

        ErrorCode ??= type;
    }

    private void Usage(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            reader.Skip();
            return;
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isTokens = reader.ValueTextEquals("completion_tokens"u8);
            reader.Read();
            if (isTokens && reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out var tokens))
            {
                CompletionTokens = tokens;
            }
            else
            {
                reader.Skip();
            }
        }
    }

    // Of what a server says only short words go into a report.
    private static string? Word(ref Utf8JsonReader reader)
    {
        var text = reader.TokenType is JsonTokenType.String or JsonTokenType.Number ? Encoding.UTF8.GetString(reader.ValueSpan) : null;
        reader.Skip();
        return text is { Length: > 40 } ? text[..40] : text;
    }
}
