using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LlmGateway.Gateway.Models;

/// <summary>A configuration that was read, and everything that is wrong with it.</summary>
/// <param name="Path">The file, or null when there is none.</param>
/// <param name="Options">The options; complete only without errors.</param>
/// <param name="Errors">Every error found.</param>
/// <param name="Warnings">What is accepted but deserves a look.</param>
internal sealed record LoadedConfiguration(
    string? Path, GatewayOptions Options, ImmutableArray<ConfigurationError> Errors, ImmutableArray<string> Warnings)
{
    /// <summary>What the environment and the command line set on top of the file: it stays so over a reload.</summary>
    public ImmutableArray<(string[] Path, string Value)> Overrides { get; init; } = [];

    /// <summary>Tells whether the file's content has changed since; empty when it could not be read.</summary>
    public string Fingerprint { get; init; } = "";
}

/// <summary>Finds and reads the configuration file.</summary>
internal static class ConfigurationFile
{
    /// <summary>Where the file is looked for, in this order: the option, the environment, <c>./config/gateway.json</c>, beside the binary.</summary>
    public static string? Find(string? option, string? environment, string workingDirectory, string binaryDirectory)
    {
        if (option is not null || environment is { Length: > 0 })
        {
            return System.IO.Path.GetFullPath(option ?? environment!, workingDirectory);
        }

        string[] candidates = [System.IO.Path.Combine(workingDirectory, "config", "gateway.json"), System.IO.Path.Combine(binaryDirectory, "config", "gateway.json")];
        return candidates.FirstOrDefault(File.Exists);
    }

    /// <summary>Reads a file and applies overrides to it.</summary>
    public static LoadedConfiguration Load(string path, IEnumerable<(string[] Path, string Value)> overrides)
    {
        ImmutableArray<(string[] Path, string Value)> all = [.. overrides];
        try
        {
            var bytes = File.ReadAllBytes(path);
            using var reader = new StreamReader(new MemoryStream(bytes));
            return Parse(path, reader.ReadToEnd(), all) with { Overrides = all, Fingerprint = FingerprintOf(bytes) };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Failed(path, $"{path}: cannot be read ({e.Message})") with { Overrides = all };
        }
    }

    /// <summary>The fingerprint of the file as it is now; empty when it can't be read.</summary>
    public static string FingerprintOf(string path)
    {
        try
        {
            return FingerprintOf(File.ReadAllBytes(path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    private static string FingerprintOf(byte[] content) => Convert.ToHexStringLower(SHA256.HashData(content));

    /// <summary>Reads a document that is already in memory.</summary>
    public static LoadedConfiguration Parse(string? path, string text, IEnumerable<(string[] Path, string Value)> overrides)
    {
        JsonNode? document;
        try
        {
            document = JsonNode.Parse(text, documentOptions: new JsonDocumentOptions
            {
                CommentHandling = JsonCommentHandling.Skip,
                AllowTrailingCommas = true,
                AllowDuplicateProperties = false,
            });
        }
        catch (JsonException e)
        {
            var place = e.LineNumber is { } line ? $" line {line + 1}, column {e.BytePositionInLine + 1}" : "";
            return Failed(path, $"{path}{place}: not valid JSON ({e.Message.Split(" Path:")[0].Split(" LineNumber:")[0]})");
        }

        catch (InvalidOperationException)
        {
            return Failed(path, $"{path}: not valid JSON (a key holds half of a surrogate pair)");
        }

        if (document is not JsonObject root)
        {
            return Failed(path, $"{path}: expected an object {{ … }} at the top");
        }

        foreach (var (keys, value) in overrides)
        {
            ConfigurationOverrides.Apply(root, keys, value);
        }

        var (options, errors) = OptionsReader.Read<GatewayOptions>(root);
        return Validated(path, options, errors);
    }

    /// <summary>Checks options that did not come from a file.</summary>
    public static LoadedConfiguration Validated(string? path, GatewayOptions options, ImmutableArray<ConfigurationError> errors)
    {
        // A relation with a value that could not be read would only repeat the same complaint.
        var relations = GatewayOptionsValidator.Validate(options).Where(relation =>
            !errors.Any(error => relation.Beside.Add(relation.Path).Any(path => IsUnreadable(path, error.Path))));
        return new(path, options, [.. errors, .. relations], GatewayOptionsValidator.Warnings(options));
    }

    /// <summary>True when what could not be read is the option, a section that it is in, or an element of the list that it is.</summary>
    private static bool IsUnreadable(string option, string error) =>
        error.Equals(option, StringComparison.OrdinalIgnoreCase)
        || option.StartsWith(error + ":", StringComparison.OrdinalIgnoreCase)
        || (error.StartsWith(option + ":", StringComparison.OrdinalIgnoreCase) && int.TryParse(error[(option.Length + 1)..].Split(':')[0], NumberStyles.None, CultureInfo.InvariantCulture, out _));

    private static LoadedConfiguration Failed(string? path, string message) => new(path, new GatewayOptions(), [new("", null, message)], []);
}
