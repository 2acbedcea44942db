using LlmGateway.Gateway.Import;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway;

/// <summary><c>llm-gateway import</c>: another program's configuration as ours on standard output or in a file, what has no equivalent on standard error.</summary>
internal static class ImportVerb
{
    /// <param name="read">The reader of that program's format.</param>
    /// <param name="file">Its file.</param>
    /// <param name="target">Where ours goes; null is <paramref name="output"/>.</param>
    /// <param name="output">Standard output.</param>
    /// <param name="errors">Standard error.</param>
    public static int Run(Func<string, Imported> read, string file, string? target, TextWriter output, TextWriter errors)
    {
        try
        {
            var imported = read(File.ReadAllText(file));
            var text = imported.ToText(Path.GetFileName(file));
            if (target is null)
            {
                output.Write(text);
            }
            else
            {
                using var created = new StreamWriter(new FileStream(target, FileMode.CreateNew));
                created.Write(text);
            }

            Report("has no equivalent, or means something else here", imported.Notes, errors);
            Report("needs your hand before it can be run", [.. ConfigurationFile.Parse(target, text, []).Errors.Select(error => error.ToString())], errors);
            return ExitCodes.Ok;
        }
        catch (Exception e) when (e is ImportException or IOException or UnauthorizedAccessException)
        {
            errors.WriteLine($"{file}: {e.Message}");
            return ExitCodes.Configuration;
        }
    }

    private static void Report(string what, IReadOnlyCollection<string> lines, TextWriter errors)
    {
        if (lines.Count > 0)
        {
            errors.WriteLine($"What {what}:");
        }

        foreach (var line in lines)
        {
            errors.WriteLine($"  {line}");
        }
    }
}
