using System.Text;

namespace LlmGateway.Gateway.Operations.Cli;

/// <summary>Columns under each other, as wide as what is in them. Pure.</summary>
internal static class TextTable
{
    private const string Gap = "  ";

    /// <summary>The rows, each on a line; the first one is the head. A short row ends where it ends.</summary>
    public static string Format(IReadOnlyList<IReadOnlyList<string>> rows, string indent = "")
    {
        var widths = new List<int>();
        foreach (var row in rows)
        {
            for (var i = 0; i < row.Count; i++)
            {
                if (i == widths.Count)
                {
                    widths.Add(0);
                }

                widths[i] = Math.Max(widths[i], row[i].Length);
            }
        }

        var text = new StringBuilder();
        foreach (var row in rows)
        {
            text.Append((indent + string.Join(Gap, row.Select((value, i) => value.PadRight(widths[i])))).TrimEnd()).Append('\n');
        }

        return text.ToString();
    }
}
