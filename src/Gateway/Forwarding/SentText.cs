using System.Buffers;
using System.Text.Json;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>What a stream has said so far, read from its events in passing, so that another backend can say the rest. Pure, and bounded.</summary>
/// <remarks>Whatever it does not know for sure makes it give up for good: <see cref="CanContinue"/> turns false and stays so.</remarks>
internal sealed class SentText
{
    /// <summary>Longest text that is remembered, in bytes.</summary>
    public const int Longest = 256 * 1024;

    private readonly ArrayBufferWriter<byte> _text = new(256);

    /// <summary>True while all that was sent is known, and it is plain text that has not ended.</summary>
    public bool CanContinue { get; private set; } = true;

    /// <summary>The text, UTF-8.</summary>
    public ReadOnlySpan<byte> Text => _text.WrittenSpan;

    /// <summary>Events that brought text: each is one token at least.</summary>
    public int Tokens { get; private set; }

    /// <summary>The stream has named the role of whoever speaks.</summary>
    public bool HasRole { get; private set; }

    /// <summary>The stream's own <c>id</c>, <c>created</c>, <c>model</c> and <c>system_fingerprint</c> as they stand in the first event, as JSON; absent ones are null.</summary>
    public StreamIdentity Identity { get; private set; } = new(null, null, null, null);

    /// <summary>Reads one event.</summary>
    /// <param name="oneEvent">Its bytes, with the blank line.</param>
    /// <param name="isWhole">False for a part of a longer one.</param>
    public void Note(ReadOnlySpan<byte> oneEvent, bool isWhole)
    {
        if (!CanContinue || EventFraming.IsComment(oneEvent))
        {
            return;
        }

        try
        {
            CanContinue = isWhole && EventFraming.TryGetData(oneEvent, out var json) && TryRead(json);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            CanContinue = false;
        }
    }

    private bool TryRead(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
        {
            return false;
        }

        var isFirst = Identity.IsEmpty;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("choices"u8))
            {
                reader.Read();
                if (!TryReadChoices(ref reader))
                {
                    return false;
                }
            }
            else if (reader.ValueTextEquals("content"u8))
            {
                // llama.cpp's own completion has the text at the top.
                reader.Read();
                if (!TryTakeText(ref reader))
                {
                    return false;
                }
            }
            else if (reader.ValueTextEquals("stop"u8))
            {
                reader.Read();
                if (reader.TokenType != JsonTokenType.False)
                {
                    return false;
                }
            }
            else if (reader.ValueTextEquals("error"u8) || reader.ValueTextEquals("completion_probabilities"u8))
            {
                return false;
            }
            else if (reader.ValueTextEquals("index"u8))
            {
                reader.Read();
                if (!IsZero(ref reader))
                {
                    return false;
                }
            }
            else
            {
                TakeOther(ref reader, json, isFirst);
            }
        }

        return true;
    }

    private void TakeOther(ref Utf8JsonReader reader, ReadOnlySpan<byte> json, bool isFirst)
    {
        var name = isFirst
            ? reader.ValueTextEquals("id"u8) ? 1 : reader.ValueTextEquals("created"u8) ? 2 : reader.ValueTextEquals("model"u8) ? 3 : reader.ValueTextEquals("system_fingerprint"u8) ? 4 : 0
            : 0;
        reader.Read();
        var start = (int)reader.TokenStartIndex;
        reader.Skip();
        if (name > 0)
        {
            var raw = System.Text.Encoding.UTF8.GetString(json[start..(int)reader.BytesConsumed]);
            Identity = name switch
            {
                1 => Identity with { Id = raw },
                2 => Identity with { Created = raw },
                3 => Identity with { Model = raw },
                _ => Identity with { Fingerprint = raw },
            };
        }
    }

    /// <summary>One choice, number 0, of which nothing but text is known; or none at all.</summary>
    private bool TryReadChoices(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartArray || !reader.Read())
        {
            return false;
        }

        if (reader.TokenType == JsonTokenType.EndArray)
        {
            return true;
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isDelta = reader.ValueTextEquals("delta"u8);
            var isText = reader.ValueTextEquals("text"u8);
            var isIndex = reader.ValueTextEquals("index"u8);
            reader.Read();

            // What is left (finish_reason, logprobs and what nobody knows) may be there only as null.
            var isFine = isDelta ? TryReadDelta(ref reader) : isText ? TryTakeText(ref reader) : isIndex ? IsZero(ref reader) : reader.TokenType == JsonTokenType.Null;
            if (!isFine)
            {
                return false;
            }
        }

        return reader.TokenType == JsonTokenType.EndObject && reader.Read() && reader.TokenType == JsonTokenType.EndArray;
    }

    private bool TryReadDelta(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            return false;
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isContent = reader.ValueTextEquals("content"u8);
            var isRole = reader.ValueTextEquals("role"u8);
            reader.Read();
            HasRole |= isRole;

            // Reasoning, tool calls, refusals and audio can't be said on.
            var isFine = isContent ? TryTakeText(ref reader) : isRole ? reader.TokenType is JsonTokenType.String or JsonTokenType.Null : reader.TokenType == JsonTokenType.Null;
            if (!isFine)
            {
                return false;
            }
        }

        return reader.TokenType == JsonTokenType.EndObject;
    }

    private bool TryTakeText(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.Null)
        {
            return true;
        }

        if (reader.TokenType != JsonTokenType.String || _text.WrittenCount + reader.ValueSpan.Length > Longest)
        {
            return false;
        }

        if (reader.ValueSpan.Length > 0)
        {
            _text.Advance(reader.CopyString(_text.GetSpan(reader.ValueSpan.Length)));
            Tokens++;
        }

        return true;
    }

    private static bool IsZero(ref Utf8JsonReader reader) => reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out var number) && number == 0;
}

/// <summary>What makes the events of one stream belong together, as JSON values; null where a stream has none.</summary>
internal sealed record StreamIdentity(string? Id, string? Created, string? Model, string? Fingerprint)
{
    public bool IsEmpty => Id is null && Created is null && Model is null && Fingerprint is null;
}
