using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace LlmGateway.Gateway.Tests.Golden;

/// <summary>One case of <c>requests.txt</c>; the file's head says how it is written.</summary>
/// <param name="Name">What it is about.</param>
/// <param name="Request">The client's bytes; <see cref="HostMark"/> stands for the gateway's address.</param>
/// <param name="LeavesEarly">True when the client then ends its side.</param>
/// <param name="Answers">Status and code of each answer.</param>
/// <param name="Seen">What the backend saw.</param>
internal sealed partial record GoldenCase(string Name, byte[] Request, bool LeavesEarly, string[] Answers, GoldenCall[] Seen)
{
    public const string HostMark = "<host>";
    private const string Head = "POST /v1/chat/completions HTTP/1.1\\r\\nHost: <host>";

    /// <summary>All cases by name.</summary>
    public static IReadOnlyDictionary<string, GoldenCase> All { get; } = Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Golden", "requests.txt")));

    private static Dictionary<string, GoldenCase> Parse(string text) =>
        CaseStart().Split(Section().Replace(text, "")).Skip(1).Select(Case).ToDictionary(one => one.Name);

    private static GoldenCase Case(string text)
    {
        var lines = text.TrimEnd('\n').Split('\n');
        var answer = Array.FindIndex(lines, line => line.StartsWith("--- ", StringComparison.Ordinal));
        var request = string.Concat(lines[1..answer].Select(line => line.EndsWith('\\') && !line.EndsWith("\\\\", StringComparison.Ordinal) ? line[..^1] : line + "\\r\\n"));
        var leaves = request.Contains("<fin>", StringComparison.Ordinal);
        request = request.Replace("<fin>", "", StringComparison.Ordinal).Replace("<head>", Head, StringComparison.Ordinal);
        var seen = new List<GoldenCall>();
        var extra = new List<string>();
        foreach (var line in lines[(answer + 1)..])
        {
            if (line.StartsWith(">+ ", StringComparison.Ordinal))
            {
                extra.Add(line[3..]);
            }
            else if (line.StartsWith(">>> ", StringComparison.Ordinal))
            {
                var hasPath = line[4] == '/';
                var space = line.IndexOf(' ', 4);
                seen.Add(new(hasPath ? line[4..space] : "/v1/chat/completions", [.. extra], Bytes(hasPath ? line[(space + 1)..] : line[4..])));
            }
            else if (line.Length > 0)
            {
                throw new FormatException($"{lines[0]}: {line}");
            }
        }

        return new(lines[0], Bytes(request), leaves, lines[answer][4..].Split(", "), [.. seen]);
    }

    /// <summary>Escapes and repetitions as bytes. The text itself is ASCII.</summary>
    private static byte[] Bytes(string text)
    {
        var repeated = Repetition().Replace(text, match => string.Concat(Enumerable.Repeat(match.Groups[2].Value, int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture))));
        return Encoding.Latin1.GetBytes(Escape().Replace(repeated, match => match.Groups[1].Value switch
        {
            "r" => "\r",
            "n" => "\n",
            "t" => "\t",
            "0" => "\0",
            "\\" => "\\",
            var hex => ((char)byte.Parse(hex[1..], NumberStyles.HexNumber, CultureInfo.InvariantCulture)).ToString(),
        }));
    }

    [GeneratedRegex("^=== ", RegexOptions.Multiline)]
    private static partial Regex CaseStart();

    [GeneratedRegex("^#{8} .*\n", RegexOptions.Multiline)]
    private static partial Regex Section();

    [GeneratedRegex("<([0-9]+)\\*(.*?)>")]
    private static partial Regex Repetition();

    [GeneratedRegex("\\\\(x[0-9a-f]{2}|.)")]
    private static partial Regex Escape();
}

/// <summary>One request that a backend saw.</summary>
/// <param name="Path">Its path.</param>
/// <param name="Headers">Lines that only some requests have.</param>
/// <param name="Body">Its body.</param>
internal sealed record GoldenCall(string Path, string[] Headers, byte[] Body);
