using System.Collections.Immutable;
using System.Text;
using Microsoft.Net.Http.Headers;

namespace LlmGateway.Gateway.Models;

/// <summary>One part of a form.</summary>
/// <param name="Name">Its field's name; empty when it has none.</param>
/// <param name="IsFile">True when it has a file's name.</param>
/// <param name="Whole">Where it stands: from behind its delimiter to before the next one.</param>
/// <param name="Content">Where its value stands.</param>
internal readonly record struct FormPart(string Name, bool IsFile, Range Whole, Range Content);

/// <summary>The parts of a multipart form, found in its bytes without copying them. Pure.</summary>
/// <remarks>
/// The backend reads the same bytes with a parser of its own, so only what two parsers read alike is a form here: nothing before the first delimiter,
/// nothing after the last, no white space behind one.
/// </remarks>
internal static class MultipartForm
{
    /// <summary>Most parts of one form.</summary>
    public const int MostParts = 256;

    /// <summary>Longest head of one part, in bytes.</summary>
    private const int LongestHead = 8 * 1024;

    private const int LongestBoundary = 70;

    /// <summary>The delimiter's text that a content type names, or null when it is no form's.</summary>
    public static string? BoundaryOf(string? contentType) =>
        MediaTypeHeaderValue.TryParse(contentType, out var type)
        && type.MediaType.Equals("multipart/form-data", StringComparison.OrdinalIgnoreCase)
        && HeaderUtilities.RemoveQuotes(type.Boundary) is { Length: > 0 and <= LongestBoundary } boundary
            ? boundary.ToString()
            : null;

    /// <summary>Finds the parts, in order; null when the bytes are no well-formed form.</summary>
    public static ImmutableArray<FormPart>? Parts(ReadOnlySpan<byte> body, string boundary)
    {
        var delimiter = Encoding.UTF8.GetBytes($"\r\n--{boundary}");
        if (!body.StartsWith(delimiter.AsSpan(2)))
        {
            return null;
        }

        var parts = ImmutableArray.CreateBuilder<FormPart>();
        var at = delimiter.Length - 2;
        while (!body[at..].StartsWith("--"u8))
        {
            var length = body[at..].IndexOf(delimiter);
            if (length < 0 || parts.Count == MostParts || Part(body.Slice(at, length), at) is not { } part)
            {
                return null;
            }

            parts.Add(part);
            at += length + delimiter.Length;
        }

        return body[(at + 2)..] is [] or [(byte)'\r', (byte)'\n'] ? parts.ToImmutable() : null;
    }

    /// <param name="part">From behind the delimiter: a line end, the head, an empty line, the value.</param>
    /// <param name="start">Where that is in the form.</param>
    private static FormPart? Part(ReadOnlySpan<byte> part, int start)
    {
        var head = part.IndexOf("\r\n\r\n"u8);
        if (head is < 0 or > LongestHead || !part.StartsWith("\r\n"u8))
        {
            return null;
        }

        var (name, isFile) = ("", false);
        var lines = Encoding.UTF8.GetString(part[..head]).Split("\r\n")[1..];
        foreach (var line in lines)
        {
            var colon = line.IndexOf(':', StringComparison.Ordinal);
            if (colon <= 0)
            {
                return null;
            }

            if (line.AsSpan(0, colon).Equals("content-disposition", StringComparison.OrdinalIgnoreCase))
            {
                if (name.Length > 0 || !ContentDispositionHeaderValue.TryParse(line[(colon + 1)..], out var disposition))
                {
                    return null;
                }

                name = Parameter(disposition, "name");
                isFile = Parameter(disposition, "filename").Length > 0 || Parameter(disposition, "filename*").Length > 0;
            }
        }

        return new FormPart(name, isFile, start..(start + part.Length), (start + head + 4)..(start + part.Length));
    }

    /// <summary>As it stands there, as servers read it. The header's own properties decode, and throw at a <c>name*</c> without a value.</summary>
    private static string Parameter(ContentDispositionHeaderValue disposition, string name) =>
        HeaderUtilities.RemoveQuotes(NameValueHeaderValue.Find(disposition.Parameters, name)?.Value ?? default).ToString();
}
