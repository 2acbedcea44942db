using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LlmGateway.Gateway.Import;

/// <summary>Another program's configuration in our words.</summary>
/// <param name="Document">Our configuration.</param>
/// <param name="Notes">What has no equivalent, or means something else here: one sentence each, beginning with its path in the source.</param>
internal sealed record Imported(JsonObject Document, ImmutableArray<string> Notes)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The text of the file.</summary>
    /// <param name="source">What it was made from, for its first line.</param>
    public string ToText(string source) => $"// Made from {source} by llm-gateway import.\n{Document.ToJsonString(Indented)}\n";
}

/// <summary>The source can't be read at all.</summary>
internal sealed class ImportException(string message) : Exception(message);
