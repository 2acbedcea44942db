using System.Globalization;

namespace LlmGateway.LoadTests.Running;

/// <summary>How many connections this process may have.</summary>
internal static class OpenFileLimit
{
    /// <summary>Files that are open besides connections.</summary>
    public const int Others = 200;

    /// <summary>The limit in force, or null where there is none to be read. .NET has raised the soft limit to the hard one at its start.</summary>
    public static int? Current()
    {
        try
        {
            return Parse(File.ReadLines("/proc/self/limits"));
        }
        catch (IOException)
        {
            return null;
        }
    }

    internal static int? Parse(IEnumerable<string> lines)
    {
        const string Name = "Max open files";
        var line = lines.FirstOrDefault(static line => line.StartsWith(Name, StringComparison.Ordinal));
        var soft = line?[Name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault();
        return int.TryParse(soft, NumberStyles.None, CultureInfo.InvariantCulture, out var limit) ? limit : null;
    }
}
