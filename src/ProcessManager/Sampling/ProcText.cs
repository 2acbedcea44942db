using System.Globalization;

namespace LlmGateway.ProcessManager.Sampling;

/// <summary>Reads the kernel's text files. Pure.</summary>
internal static class ProcText
{
    /// <summary>The first number on the line that begins with <paramref name="name"/>; null without such a line, or such a number.</summary>
    public static long? Number(string text, string name)
    {
        foreach (var line in text.AsSpan().EnumerateLines())
        {
            if (line.StartsWith(name, StringComparison.Ordinal))
            {
                var value = line[name.Length..].Trim();
                var end = value.IndexOf(' ');
                return long.TryParse(end < 0 ? value : value[..end], NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;
            }
        }

        return null;
    }

    /// <summary>A whole file that holds one number; null for anything else, such as a cgroup's <c>max</c>.</summary>
    public static long? Number(string text) =>
        long.TryParse(text.AsSpan().Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    /// <summary>A file of <c>/proc/pressure</c>: <c>some avg10=1.50 …</c>, and <c>full …</c> where there is such a thing.</summary>
    public static Pressure? Pressure(string text) => Average(text, "some ") is { } some ? new(some, Average(text, "full ") ?? 0) : null;

    /// <summary>Our place in the one hierarchy of version 2: the line <c>0::/path</c> of <c>/proc/self/cgroup</c>; null without it.</summary>
    public static string? CgroupPath(string text)
    {
        foreach (var line in text.AsSpan().EnumerateLines())
        {
            if (line.StartsWith("0::/", StringComparison.Ordinal))
            {
                return line["0::/".Length..].ToString();
            }
        }

        return null;
    }

    private static double? Average(string text, string kind)
    {
        const string Name = "avg10=";
        foreach (var line in text.AsSpan().EnumerateLines())
        {
            var at = line.StartsWith(kind, StringComparison.Ordinal) ? line.IndexOf(Name, StringComparison.Ordinal) : -1;
            if (at >= 0)
            {
                var value = line[(at + Name.Length)..];
                var end = value.IndexOf(' ');
                return double.TryParse(end < 0 ? value : value[..end], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var percent)
                    ? percent / 100
                    : null;
            }
        }

        return null;
    }
}
