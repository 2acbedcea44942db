using System.Text.Json;

namespace LlmGateway.Probes.LlamaServer;

/// <summary>Counts in <c>/slots</c> what is busy, and makes nothing of the rest: a busy slot tells kilobytes of its task's parameters.</summary>
internal static class BusySlots
{
    private static readonly JsonReaderOptions Options = new() { MaxDepth = 32 };

    /// <summary>How many slots say <c>"is_processing": true</c>.</summary>
    /// <param name="json">The whole answer, UTF-8.</param>
    /// <exception cref="JsonException">It is no list of objects, or <c>is_processing</c> is neither true nor false.</exception>
    public static int Count(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, Options);
        reader.Read();
        Expect(reader.TokenType is JsonTokenType.StartArray);
        var busy = 0;
        while (reader.Read() && reader.TokenType is not JsonTokenType.EndArray)
        {
            Expect(reader.TokenType is JsonTokenType.StartObject);
            busy += IsBusy(ref reader) ? 1 : 0;
        }

        Expect(!reader.Read());
        return busy;
    }

    private static bool IsBusy(ref Utf8JsonReader reader)
    {
        var isBusy = false;
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var isIt = reader.ValueTextEquals("is_processing"u8);
            reader.Read();
            if (isIt)
            {
                Expect(reader.TokenType is JsonTokenType.True or JsonTokenType.False);
                isBusy = reader.TokenType is JsonTokenType.True;
            }

            reader.Skip();
        }

        return isBusy;
    }

    private static void Expect(bool isSo)
    {
        if (!isSo)
        {
            throw new JsonException("No list of slots.");
        }
    }
}
