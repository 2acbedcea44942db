using System.Buffers.Text;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Tokens that an answer cost, as the answer itself says.</summary>
/// <param name="Prompt">Tokens of the prompt, cached ones included.</param>
/// <param name="Cached">Those that were in the server's cache.</param>
/// <param name="Completion">Tokens generated.</param>
internal sealed record TokenUsage(long Prompt, long Cached, long Completion)
{
    /// <summary>What two answers cost together.</summary>
    public static TokenUsage operator +(TokenUsage one, TokenUsage? other) =>
        other is null ? one : new(one.Prompt + other.Prompt, one.Cached + other.Cached, one.Completion + other.Completion);

    /// <summary>Finds the numbers among the bytes of an answer in passing.</summary>
    /// <remarks>
    /// Within a JSON text a quotation mark is escaped, so a name between bare ones is a key. Bytes that hold no usage leave what is known as it is;
    /// nothing here can fail or touch the bytes.
    /// </remarks>
    public static TokenUsage? Find(ReadOnlySpan<byte> bytes, TokenUsage? known)
    {
        var usage = bytes.IndexOf("\"usage\":{"u8);
        if (usage >= 0)
        {
            var fields = bytes[usage..];
            var cached = Number(fields, "\"cached_tokens\":"u8) ?? Number(fields, "\"cache_read_input_tokens\":"u8) ?? known?.Cached ?? 0;
            var prompt = Number(fields, "\"prompt_tokens\":"u8)
                ?? (Number(fields, "\"input_tokens\":"u8) is { } input ? input + (Number(fields, "\"cache_read_input_tokens\":"u8) ?? 0) : null);
            var completion = Number(fields, "\"completion_tokens\":"u8) ?? Number(fields, "\"output_tokens\":"u8);
            return prompt is null && completion is null ? known : new(prompt ?? known?.Prompt ?? 0, cached, completion ?? known?.Completion ?? 0);
        }

        var timings = bytes.IndexOf("\"timings\":{"u8);
        if (timings >= 0 && known is null)
        {
            var fields = bytes[timings..];
            var cached = Number(fields, "\"cache_n\":"u8) ?? 0;
            return Number(fields, "\"prompt_n\":"u8) is { } prompt && Number(fields, "\"predicted_n\":"u8) is { } predicted
                ? new(prompt + cached, cached, predicted)
                : null;
        }

        return known;
    }

    private const long MostTokens = 1L << 40;

    private static long? Number(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> key)
    {
        var at = bytes.IndexOf(key);
        return at >= 0 && Utf8Parser.TryParse(bytes[(at + key.Length)..].TrimStart((byte)' '), out long number, out _) && number is >= 0 and <= MostTokens ? number : null;
    }
}
