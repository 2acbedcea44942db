using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Requests;

/// <summary>An administrator's call to a backend past the API: <c>/upstream/{model}/…</c>.</summary>
/// <param name="Model">Whose backend.</param>
/// <param name="Path">What of it, in the list's own spelling; for a slot with its number.</param>
/// <param name="Endpoint">Set when the path is an inference endpoint: such a call queues for a slot like any other.</param>
internal sealed record UpstreamCall(Model Model, string Path, InferenceEndpoint? Endpoint)
{
    private const string Slot = "/slots/";

    private const int LongestSlotNumber = 4;

    private static readonly string[] Read = [HttpMethods.Get, HttpMethods.Head];
    private static readonly string[] ReadAndWrite = [.. Read, HttpMethods.Post];
    private static readonly string[] Write = [HttpMethods.Post];

    /// <summary>What may stand in the query: anything else stays here.</summary>
    private static readonly string[] Parameters = ["action", "fail_on_no_slot"];

    /// <summary>Finds model and path behind <c>/upstream/</c>. Pure.</summary>
    /// <param name="rest">What follows, normalised by the server; a model's name may hold slashes, plain or as <c>%2F</c>.</param>
    /// <param name="method">The call's method.</param>
    /// <param name="find">The catalogue.</param>
    public static (UpstreamCall? Call, ApiError? Error) Parse(string rest, string method, Func<string, Model?> find)
    {
        // The longest name wins: "org/model" is not the path "/model" of "org".
        for (var end = rest.LastIndexOf('/'); end > 0; end = rest.LastIndexOf('/', end - 1))
        {
            if (find(Uri.UnescapeDataString(rest[..end])) is not { } model)
            {
                continue;
            }

            var path = rest[end..];
            return Methods(path) is not { } methods ? (null, ApiErrors.UnknownEndpoint)
                : methods.Contains(method, StringComparer.OrdinalIgnoreCase) ? (new(model, path, InferenceEndpoint.Find(path)), null)
                : (null, ApiErrors.MethodNotAllowed);
        }

        return (null, ApiErrors.ModelNotFound);
    }

    /// <summary>The part of the query that the backend gets: empty, or with its question mark.</summary>
    public static string Query(IQueryCollection query)
    {
        var kept = Parameters.Where(name => query[name] is [{ } value] && value.All(char.IsAsciiLetterOrDigit)).Select(name => $"{name}={query[name]}");
        return string.Join('&', kept) is { Length: > 0 } text ? $"?{text}" : "";
    }

    /// <summary>How a path may be asked; null for one that is not on the list.</summary>
    private static string[]? Methods(string path) => path switch
    {
        "/health" or "/v1/health" or "/slots" or "/metrics" or "/models" or "/v1/models" => Read,
        "/props" or "/lora-adapters" => ReadAndWrite,
        _ when IsSlot(path) || InferenceEndpoint.Find(path) is not null => Write,
        _ => null,
    };

    private static bool IsSlot(string path) =>
        path.StartsWith(Slot, StringComparison.Ordinal) && path.Length - Slot.Length is >= 1 and <= LongestSlotNumber && path.AsSpan(Slot.Length).ContainsAnyExceptInRange('0', '9') is false;
}
