using System.Globalization;
using System.Text;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Requests;

/// <summary>Finds what matters in a multipart form, by the same rules as <see cref="BodyPeek"/>: bounds of numbers, and nothing twice that decides. Pure.</summary>
internal static class FormPeek
{
    /// <summary>A longer value is no model's name.</summary>
    private const int LongestValue = 1024;

    /// <summary>Reads a form.</summary>
    /// <param name="body">Its bytes.</param>
    /// <param name="boundary">The delimiter's text by its content type, or null.</param>
    /// <returns>The facts, or the error that the client gets.</returns>
    public static (BodyFacts? Facts, ApiError? Error) Read(ReadOnlySpan<byte> body, string? boundary)
    {
        if (boundary is null)
        {
            return (null, ApiErrors.InvalidParameter("Content-Type", "must be multipart/form-data with a boundary"));
        }

        if (MultipartForm.Parts(body, boundary) is not { } parts)
        {
            return (null, ApiErrors.InvalidParameter("body", "is not a well-formed multipart form"));
        }

        var facts = new BodyFacts();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var part in parts)
        {
            if (part.IsFile || (part.Name is not ("model" or "stream") && !BodyPeek.IsBounded(part.Name)))
            {
                continue;
            }

            if (!seen.Add(part.Name))
            {
                return (null, ApiErrors.InvalidParameter(part.Name, "must not stand twice in the form"));
            }

            var content = body[part.Content];
            var value = Encoding.UTF8.GetString(content[..Math.Min(content.Length, LongestValue)]);
            switch (part.Name)
            {
                case "model":
                    facts = facts with { Model = value };
                    break;
                case "stream":
                    // As llama-server reads it.
                    facts = facts with { Stream = value == "true" };
                    break;
                default:
                    long? number = long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var given) ? given : null;
                    if (BodyPeek.Bounded(part.Name, number, facts) is { } error)
                    {
                        return (null, error);
                    }

                    break;
            }
        }

        return (facts, null);
    }
}
