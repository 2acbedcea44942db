using System.Globalization;
using System.Text.Json.Nodes;

namespace LlmGateway.Gateway.Import;

/// <summary>Takes out of a llama-server command line what the gateway decides itself, and puts it where the gateway looks for it.</summary>
internal static class ServerArguments
{
    /// <summary>Puts program and arguments of a llama-server into a model's section.</summary>
    /// <param name="model">The section.</param>
    /// <param name="program">The binary.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <returns>The port that was fixed, or null.</returns>
    public static int? Put(JsonObject model, string program, IEnumerable<string> arguments)
    {
        int? port = null;
        var kept = new JsonArray();
        using var rest = arguments.GetEnumerator();
        while (rest.MoveNext())
        {
            var (flag, value) = Split(rest.Current);
            switch (flag)
            {
                case "--port" or "--host":
                    value ??= rest.MoveNext() ? rest.Current : null;
                    port = flag == "--port" && int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : port;
                    break;
                case "-np" or "--parallel" or "--n-parallel":
                    value ??= rest.MoveNext() ? rest.Current : null;
                    if (int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var slots) && slots > 0)
                    {
                        model["Slots"] = slots;
                    }

                    break;
                default:
                    kept.Add(rest.Current);
                    break;
            }
        }

        model["Kind"] = "llama-server";
        model["Executable"] = program;
        model["Args"] = kept;
        return port;
    }

    private static (string Flag, string? Value) Split(string argument) =>
        argument.StartsWith("--", StringComparison.Ordinal) && argument.IndexOf('=', StringComparison.Ordinal) is > 0 and var equals
            ? (argument[..equals], argument[(equals + 1)..])
            : (argument, null);
}
