using System.Collections.Frozen;
using System.Text.Json;

namespace LlmGateway.Gateway.Requests;

/// <summary>Finds what matters in a JSON body in one forward pass, without building a document. Pure.</summary>
/// <remarks>
/// The backend gets the client's bytes, so both must read them alike. A field that decides here and stands twice could mean one thing to the gateway
/// and another to the backend: such a body is refused. Trailing data is refused too.
/// </remarks>
internal static class BodyPeek
{
    /// <summary>Deepest nesting that is read.</summary>
    public const int MaxDepth = 64;

    private const int LongestName = 192;

    private const int AnyTokenCount = 10_000_000;

    /// <summary>Tokens that a penalty looks back on: a backend sets memory aside for each, used or not.</summary>
    private const int LongestPenalty = 1_000_000;

    /// <summary>Bytes of a grammar or a schema: compiling one takes time and memory that grow faster than its text.</summary>
    private const int LongestGrammar = 256 * 1024;

    /// <summary>Texts that end an answer: each is searched for at each token.</summary>
    private const int MostStops = 256;

    private const int MostProbabilities = 1000;

    /// <summary>Numbers that have done harm: the least and the greatest value that a backend may see.</summary>
    private static readonly FrozenDictionary<string, (long Minimum, long Maximum)> Bounds = new Dictionary<string, (long, long)>
    {
        ["n"] = (1, 1024),
        ["best_of"] = (1, 1024),
        ["max_tokens"] = (-1, AnyTokenCount),
        ["max_completion_tokens"] = (-1, AnyTokenCount),
        ["max_output_tokens"] = (-1, AnyTokenCount),
        ["n_predict"] = (-1, AnyTokenCount),
        ["n_keep"] = (-1, AnyTokenCount),
        ["n_discard"] = (0, AnyTokenCount),
        ["repeat_last_n"] = (-1, LongestPenalty),
        ["dry_penalty_last_n"] = (-1, LongestPenalty),
        ["n_probs"] = (0, MostProbabilities),
        ["top_logprobs"] = (0, MostProbabilities),
        ["min_keep"] = (0, AnyTokenCount),
        ["id_slot"] = (-1, 1023),
        ["n_indent"] = (0, AnyTokenCount),
        ["n_cmpl"] = (1, 1024),
        ["t_max_predict_ms"] = (-1, 86_400_000),
        ["t_max_prompt_ms"] = (-1, 86_400_000),
    }.ToFrozenDictionary();

    private static readonly FrozenDictionary<string, (long Minimum, long Maximum)>.AlternateLookup<ReadOnlySpan<char>> BoundsByName =
        Bounds.GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>Names that matter, each with a number below 64.</summary>
    private static readonly FrozenDictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> NumberByName = Bounds.Keys
        .Concat(["model", "stream", "messages", "prompt", "input", "content", "documents", "texts", "response_fields", "stop", "stop_sequences", "grammar", "json_schema", "response_format", "logprobs"])
        .Select(static (name, number) => KeyValuePair.Create(name, number))
        .ToFrozenDictionary()
        .GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>Reads the body's top level.</summary>
    /// <returns>The facts, or the error that the client gets.</returns>
    public static (BodyFacts? Facts, ApiError? Error) Read(ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = MaxDepth });
        try
        {
            return Read(ref reader);
        }
        catch (JsonException e)
        {
            return (null, ApiErrors.InvalidJson($"line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}"));
        }
        catch (InvalidOperationException)
        {
            return (null, ApiErrors.InvalidJson("a text holds bytes that are not UTF-8"));
        }
    }

    private static (BodyFacts? Facts, ApiError? Error) Read(ref Utf8JsonReader reader)
    {
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
        {
            return (null, ApiErrors.InvalidJson("expected an object at the top"));
        }

        var facts = new BodyFacts();
        var seen = 0UL;
        Span<char> buffer = stackalloc char[LongestName];
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            // Every name that matters fits even when each of its letters is written as a \uXXXX escape.
            var isKnown = reader.ValueSpan.Length <= LongestName;
            var name = isKnown ? buffer[..reader.CopyString(buffer)] : [];
            reader.Read();
            if (NumberByName.TryGetValue(name, out var number))
            {
                if ((seen & (1UL << number)) != 0)
                {
                    return (null, ApiErrors.InvalidJson($"the key \"{name}\" stands twice"));
                }

                seen |= 1UL << number;
            }

            switch (name)
            {
                case "model":
                    if (reader.TokenType is not (JsonTokenType.String or JsonTokenType.Null))
                    {
                        return (null, ApiErrors.InvalidParameter("model", "must be a text"));
                    }

                    facts.Model = reader.GetString();
                    break;
                case "stream":
                    if (reader.TokenType is not (JsonTokenType.True or JsonTokenType.False or JsonTokenType.Null))
                    {
                        return (null, ApiErrors.InvalidParameter("stream", "must be true or false"));
                    }

                    facts.Stream = reader.TokenType == JsonTokenType.True;
                    break;
                case "prompt" or "input" or "content" or "documents" or "texts" when reader.TokenType == JsonTokenType.StartArray:
                    var list = reader;
                    var count = CountItems(ref reader, name is "documents" or "texts");
                    facts.Items = Math.Max(facts.Items, count);
                    facts.Prompts = name is "prompt" ? count : facts.Prompts;
                    facts.NamesRemoteMedia |= name is "input" && NamesRemoteMedia(ref list);
                    break;
                case "response_fields":
                    facts.PicksFields = reader.TokenType != JsonTokenType.Null;
                    reader.Skip();
                    break;
                case "messages" when reader.TokenType == JsonTokenType.StartArray:
                    facts.NamesRemoteMedia = NamesRemoteMedia(ref reader);
                    break;
                case "stop" or "stop_sequences" when reader.TokenType == JsonTokenType.StartArray:
                    if (CountItems(ref reader, always: true) > MostStops)
                    {
                        return (null, ApiErrors.InvalidParameter(name.ToString(), $"must not hold more than {MostStops} texts"));
                    }

                    break;
                case "grammar" or "json_schema" or "response_format":
                    var start = reader.TokenStartIndex;
                    reader.Skip();
                    if (reader.BytesConsumed - start > LongestGrammar)
                    {
                        return (null, ApiErrors.InvalidParameter(name.ToString(), $"must not be longer than {LongestGrammar} bytes"));
                    }

                    break;
                case "logprobs" when reader.TokenType is not (JsonTokenType.True or JsonTokenType.False):
                    // Yes or no for chats, how many for completions.
                    if (Number(ref reader, name, (0, MostProbabilities), facts) is { } wrong)
                    {
                        return (null, wrong);
                    }

                    break;
                default:
                    if (BoundsByName.TryGetValue(name, out var bounds) && Number(ref reader, name, bounds, facts) is { } error)
                    {
                        return (null, error);
                    }

                    reader.Skip();
                    break;
            }
        }

        // The end of the object; anything after it but white space throws.
        reader.Read();
        return (facts, null);
    }

    /// <summary>True for the name of a number that has bounds.</summary>
    public static bool IsBounded(ReadOnlySpan<char> name) => BoundsByName.ContainsKey(name);

    /// <summary>Takes a number that has bounds into the facts, or says what they are.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="given">What was given; null for what is no whole number.</param>
    /// <param name="facts">What is known of the body so far.</param>
    public static ApiError? Bounded(ReadOnlySpan<char> name, long? given, BodyFacts facts) => Bounded(name, given, BoundsByName[name], facts);

    private static ApiError? Number(ref Utf8JsonReader reader, scoped ReadOnlySpan<char> name, (long Minimum, long Maximum) bounds, BodyFacts facts) =>
        reader.TokenType == JsonTokenType.Null ? null
        : Bounded(name, reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out var number) ? number : null, bounds, facts);

    private static ApiError? Bounded(scoped ReadOnlySpan<char> name, long? given, (long Minimum, long Maximum) bounds, BodyFacts facts)
    {
        if (given is not { } number || number < bounds.Minimum || number > bounds.Maximum)
        {
            return ApiErrors.InvalidParameter(name.ToString(), $"must be a whole number from {bounds.Minimum} to {bounds.Maximum}");
        }

        switch (name)
        {
            // Two names of one thing: whichever the backend takes, its slots are held.
            case "n" or "n_cmpl":
                facts.OwnChoices = name is "n_cmpl" ? (int)number : facts.OwnChoices;
                facts.Choices = Math.Max(facts.Choices, (int)number);
                break;
            case "id_slot":
                facts.PinsSlot = number >= 0;
                break;
            case "max_tokens" or "max_completion_tokens" or "max_output_tokens" or "n_predict":
                facts.MaxTokens = (int)number;
                break;
        }

        return null;
    }

    /// <summary>True when something in the list is to be fetched from an address: an image, a sound, a file.</summary>
    private static bool NamesRemoteMedia(ref Utf8JsonReader reader)
    {
        var isFound = false;
        var depth = reader.CurrentDepth;
        while (reader.Read() && reader.CurrentDepth > depth)
        {
            if (reader.TokenType == JsonTokenType.PropertyName && (reader.ValueTextEquals("url"u8) || reader.ValueTextEquals("image_url"u8) || reader.ValueTextEquals("file_url"u8)))
            {
                reader.Read();

                // What is written in escapes may be an address, too; inline data has no reason for them.
                isFound |= reader.TokenType == JsonTokenType.String && (reader.ValueIsEscaped || !reader.ValueSpan.StartsWith("data:"u8));
            }
        }

        return isFound;
    }

    /// <summary>Elements of a list; a list that holds a number is one prompt of tokens and texts, not many prompts.</summary>
    private static int CountItems(ref Utf8JsonReader reader, bool always)
    {
        var count = 0;
        var isTokens = false;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            isTokens |= reader.TokenType == JsonTokenType.Number;
            count++;
            reader.Skip();
        }

        return isTokens && !always ? 1 : Math.Max(1, count);
    }
}
