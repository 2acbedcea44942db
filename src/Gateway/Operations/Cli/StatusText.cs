using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace LlmGateway.Gateway.Operations.Cli;

/// <summary>The status, the requests and the events as a terminal shows them. Pure.</summary>
internal static class StatusText
{
    private static readonly string[] RequestColumns = ["ID", "STAGE", "BACKEND", "KEY", "WAITED", "FIRST TOKEN", "TOOK", "TOKENS"];
    private static readonly string[] BackendColumns = ["BACKEND", "STATE", "PID", "ADDRESS", "SLOTS", "CPU", "MEMORY", "BREAKER", "RESTARTS", "UP", "WHY"];

    /// <summary>The whole status, or that of one model.</summary>
    public static string OfStatus(JsonNode status, string? model, DateTimeOffset now)
    {
        var text = new StringBuilder();
        var gateway = status["gateway"]!;
        text.Append(CultureInfo.InvariantCulture, $"LlmGateway {gateway["version"]}, up {Time((double?)gateway["uptimeSeconds"])}, {gateway["requestsInFlight"]} requests in the gateway");
        text.Append(((bool?)gateway["draining"] == true ? ", DRAINING" : "") + "\n");
        foreach (var error in gateway["config"]!["errors"]!.AsArray())
        {
            text.Append(CultureInfo.InvariantCulture, $"configuration: {error}\n");
        }

        foreach (var one in status["models"]!.AsArray().Where(one => model is null || (string?)one!["name"] == model))
        {
            Append(text, one!, now);
        }

        return text.ToString();
    }

    /// <summary>The requests, current ones first.</summary>
    public static string OfRequests(JsonNode requests)
    {
        var rows = new List<IReadOnlyList<string>> { RequestColumns };
        rows.AddRange(requests["current"]!.AsArray().Concat(requests["recent"]!.AsArray()).Select(one => new[]
        {
            (string)one!["id"]!, (string?)one["outcome"] ?? (string)one["stage"]!, (string?)one["backend"] ?? (string)one["model"]!, (string)one["key"]!,
            Time((double?)one["queueMs"] / 1000), Time((double?)one["firstTokenMs"] / 1000), Time((double?)one["durationMs"] / 1000), one["completionTokens"]?.ToString() ?? "-",
        }));
        return TextTable.Format(rows);
    }

    /// <summary>One event on a line.</summary>
    public static string OfEvent(JsonNode one) =>
        $"{((DateTimeOffset)one["at"]!).ToLocalTime():HH:mm:ss}  {(string)one["kind"]!,-10}  {((string)one["level"]! == "info" ? "" : $"{one["level"]}: ")}{one["message"]}";

    /// <summary>A length of time in the unit that people would use.</summary>
    public static string Time(double? seconds) => seconds switch
    {
        null => "-",
        < 0.1 => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1000:0} ms"),
        < 100 => string.Create(CultureInfo.InvariantCulture, $"{seconds:0.#} s"),
        < 6_000 => string.Create(CultureInfo.InvariantCulture, $"{seconds / 60:0} min"),
        < 172_800 => string.Create(CultureInfo.InvariantCulture, $"{seconds / 3_600:0} h"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{seconds / 86_400:0} d"),
    };

    private static void Append(StringBuilder text, JsonNode model, DateTimeOffset now)
    {
        var queue = model["queue"]!;
        var depth = (int)queue["depth"]!;
        var replicas = model["replicas"]!.AsArray();
        text.Append(CultureInfo.InvariantCulture, $"\n{model["name"]}: {model["state"]}, {replicas.Count(one => (string?)one!["state"] == "ready")} of {replicas.Count} backends ready, ");
        text.Append(depth == 0 ? "none waits\n" : $"{depth} of {queue["limit"]} wait, the first for {Time((double?)queue["oldestAgeSeconds"])}\n");
        if (replicas.Count == 0)
        {
            return;
        }

        var rows = new List<IReadOnlyList<string>> { BackendColumns };
        rows.AddRange(replicas.Select(one => new[]
        {
            (string)one!["backend"]!,
            (string)one["state"]!,
            one["pid"]?.ToString() ?? "-",
            (string?)one["address"] ?? "-",
            $"{one["slots"]!["busy"]}/{one["slots"]!["total"]}",
            one["cpuPercent"] is { } cpu ? string.Create(CultureInfo.InvariantCulture, $"{(double)cpu:0} %") : "-",
            one["residentBytes"] is { } bytes ? string.Create(CultureInfo.InvariantCulture, $"{(double)bytes / (1 << 20):0} MiB") : "-",
            (string?)one["breaker"] ?? "-",
            one["restartsInWindow"] is { } restarts ? $"{restarts}/{one["maxRestarts"]}" : "-",
            Time((double?)one["uptimeSeconds"]),
            Why(one, now),
        }));
        text.Append(TextTable.Format(rows, "  "));
    }

    private static string Why(JsonNode replica, DateTimeOffset now)
    {
        var why = (string?)replica["notRoutableBecause"] ?? (string?)replica["limitedBecause"] ?? "";
        return replica["nextTryAt"] is { } at ? $"{why} Next try in {Time(Math.Max(0, ((DateTimeOffset)at - now).TotalSeconds))}." : why;
    }
}
