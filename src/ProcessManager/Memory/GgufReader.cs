using System.Collections.Immutable;
using System.Globalization;

namespace LlmGateway.ProcessManager.Memory;

/// <summary>Reads the header of a GGUF file: metadata and the list of tensors, never the weights.</summary>
/// <remarks>
/// A model file comes from anywhere. What is read is bounded in bytes, in entries and in what is kept of them; numbers that make no sense
/// are refused, so that no sum that is made of them overflows.
/// </remarks>
public static class GgufReader
{
    private const uint Magic = 0x46554747; // "GGUF", little-endian
    private const ulong MostPairs = 100_000;
    private const ulong MostTensors = 200_000;
    private const int MostParts = 1_000;

    /// <summary>Reads a model, all its parts when it is split.</summary>
    /// <exception cref="GgufException">It is no GGUF model, or is not whole.</exception>
    /// <exception cref="IOException">The file can't be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    public static GgufHeader Read(string path)
    {
        var first = ReadFile(path);
        if (first.Parts == 1 || PartsOf(path, first.Parts) is not { } parts)
        {
            return first;
        }

        // The first part has the metadata, and each has tensors.
        var others = parts.Where(part => part != path).Select(ReadFile).ToArray();
        return first with
        {
            TensorBytes = first.TensorBytes + others.Sum(part => part.TensorBytes),
            LayerBytes = first.LayerBytes + others.Sum(part => part.LayerBytes),
            RepackedBytes = first.RepackedBytes + others.Sum(part => part.RepackedBytes),
        };
    }

    /// <summary>Reads one file's header.</summary>
    /// <param name="stream">At the file's beginning.</param>
    /// <param name="length">The file's size in bytes.</param>
    /// <exception cref="GgufException">It is no GGUF file, or is not whole.</exception>
    public static GgufHeader Read(Stream stream, long length)
    {
        ArgumentNullException.ThrowIfNull(stream);
        try
        {
            return ReadHeader(new(stream, length), length);
        }
        catch (Exception e) when (e is OverflowException or EndOfStreamException)
        {
            throw new GgufException("Its header makes no sense.", e);
        }
    }

    private static GgufHeader ReadFile(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        return Read(file, file.Length);
    }

    private static GgufHeader ReadHeader(GgufStream stream, long length)
    {
        if (stream.UInt32() != Magic)
        {
            throw new GgufException("It does not begin as a GGUF file does.");
        }

        if (stream.UInt32() is var version and not (2 or 3))
        {
            throw new GgufException($"It has version {version}; 2 and 3 are known. A file of the other byte order looks like this, too.");
        }

        var (tensors, pairs) = (stream.UInt64(), stream.UInt64());
        if (tensors > MostTensors || pairs > MostPairs)
        {
            throw new GgufException($"It claims {tensors} tensors and {pairs} entries of metadata.");
        }

        var metadata = GgufMetadata.Read(stream, (int)pairs);
        return metadata.ToHeader(GgufTensors.Read(stream, (int)tensors, metadata.Alignment, length));
    }

    /// <summary>The files of a split model; null when the name does not follow the rule <c>NAME-00001-of-00005.gguf</c>.</summary>
    private static ImmutableArray<string>? PartsOf(string path, int parts)
    {
        var suffix = string.Create(CultureInfo.InvariantCulture, $"-00001-of-{parts:D5}.gguf");
        return parts <= MostParts && path.EndsWith(suffix, StringComparison.Ordinal)
            ? [.. Enumerable.Range(1, parts).Select(part => string.Create(CultureInfo.InvariantCulture, $"{path[..^suffix.Length]}-{part:D5}-of-{parts:D5}.gguf"))]
            : null;
    }
}
