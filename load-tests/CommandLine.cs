using System.Collections.Immutable;
using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Measuring;
using LlmGateway.LoadTests.Peers;
using LlmGateway.LoadTests.Reports;
using LlmGateway.LoadTests.Running;
using LlmGateway.LoadTests.Scenarios;
using Spectre.Console;

namespace LlmGateway.LoadTests;

/// <summary>The verbs, one for each scenario, and their options.</summary>
internal sealed class CommandLine
{
    /// <summary>Exit codes.</summary>
    public const int Passed = 0, Failed = 1, Usage = 2;

    private static readonly TimeSpan MostLag = TimeSpan.FromMilliseconds(20);

    private readonly Option<Uri> _url = new("--url")
    {
        Description = "Base URL of any OpenAI-compatible server, with or without /v1.",
        DefaultValueFactory = static _ => new Uri("http://127.0.0.1:8080"),
        CustomParser = static result => Read<Uri>(result, "an http URL", static (string text, out Uri url) =>
            Uri.TryCreate(text, UriKind.Absolute, out url!) && url.Scheme is "http" or "https"),
    };

    private readonly Option<string?> _model = new("--model") { Description = "Model to ask for. Default: the first one that the server lists." };
    private readonly Option<string[]> _keys = new("--key") { Description = "API key. Give several for a mix; sk-…=3 weighs one three times.", HelpName = "sk-…[=WEIGHT]" };
    private readonly Option<double?> _rate = Positive("--rate", "Requests per second that a load of 1 means: what the server can just serve.");
    private readonly Option<TimeSpan?> _duration = Time("--duration", "Length of the whole run; each stage keeps its share.");
    private readonly Option<int?> _concurrency = Count("--concurrency", "Workers of closed loops.");
    private readonly Option<string?> _arrivals = new("--arrivals") { Description = "Spacing in open loops: fixed or poisson." };
    private readonly Option<double?> _streamShare = new("--stream-share") { Description = "Share of requests that are streamed, 0 to 1." };
    private readonly Option<Distribution?> _promptTokens = Spread("--prompt-tokens", "Length of prompts: 64, 16..256 (uniform) or 128~0.8 (log-normal: median, sigma).");
    private readonly Option<Distribution?> _maxTokens = Spread("--max-tokens", "Length of answers, likewise.");
    private readonly Option<TimeSpan?> _patience = Time("--patience", "Longest wait of a client.");
    private readonly Option<ulong?> _seed = new("--seed") { Description = "Chooses every random thing." };
    private readonly Option<int> _maxInFlight = new("--max-in-flight") { Description = "Requests at once, at most; more are counted as not_sent.", DefaultValueFactory = static _ => 10_000 };
    private readonly Option<TimeSpan?> _warmUp = Time("--warm-up", "Two workers for so long before the measured run (default: 1s; 0s is none).");
    private readonly Option<bool> _noTextCheck = new("--no-text-check") { Description = "Do not hold a simulator's answers against what it must have said." };
    private readonly Option<bool> _newConnections = new("--new-connections")
    {
        Description = "Use no connection twice: for a llama-server itself, which closes behind a stream without saying so.",
    };

    private readonly Option<string?> _out = new("--out") { Description = "Folder for report.json, report.md and report.html.", HelpName = "DIR" };
    private readonly Option<bool> _spawn = new("--spawn") { Description = "Start a gateway with simulated models for the run. What follows -- goes to it." };
    private readonly Option<int> _replicas = new("--replicas") { Description = "With --spawn: simulated servers.", DefaultValueFactory = static _ => 2 };
    private readonly Option<int> _slots = new("--slots") { Description = "With --spawn: slots of each.", DefaultValueFactory = static _ => 4 };
    private readonly Option<TimeSpan?> _serviceTime = Time("--service-time", "With --spawn: time of a request in a slot. Default: the scenario's.");
    private readonly (ThresholdKind Kind, Option<string[]> Option)[] _thresholds =
    [
        .. ThresholdKind.All.Select(static kind => (kind, new Option<string[]>("--" + kind.Name)
        {
            Description = kind.Description,
            HelpName = kind.Unit == ThresholdUnit.Duration ? "[STAGE=]500ms" : "[STAGE=]N",
        })),
    ];

    private string[] _gatewayArguments = [];

    private delegate bool Parser<T>(string text, out T value);

    /// <returns>0 when all thresholds hold, 1 when not or when nothing could be measured, 2 for bad usage.</returns>
    public async Task<int> RunAsync(string[] args)
    {
        var end = Array.IndexOf(args, "--");
        _gatewayArguments = end < 0 ? [] : args[(end + 1)..];
        var root = new RootCommand("Load for any OpenAI-compatible server: honest latencies, whole streams, thresholds, reports.\nExit code 0: all thresholds hold; 1: not, named last; 2: bad usage.");
        foreach (var scenario in ScenarioCatalogue.All)
        {
            var verb = new Command(scenario.Name, scenario.Description)
            {
                _url, _model, _keys, _rate, _duration, _concurrency, _arrivals, _streamShare, _promptTokens, _maxTokens, _patience, _seed, _maxInFlight, _warmUp,
                _noTextCheck, _newConnections, _out, _spawn, _replicas, _slots, _serviceTime,
            };
            foreach (var (_, option) in _thresholds)
            {
                verb.Add(option);
            }

            verb.SetAction((result, cancellationToken) => RunAsync(scenario, result, cancellationToken));
            root.Add(verb);
        }

        root.Add(PeersCommand.Create());
        var parsed = root.Parse(end < 0 ? args : args[..end]);
        if (parsed.Errors.Count > 0)
        {
            foreach (var error in parsed.Errors)
            {
                await Console.Error.WriteLineAsync(error.Message).ConfigureAwait(false);
            }

            await Console.Error.WriteLineAsync("--help lists what there is.").ConfigureAwait(false);
            return Usage;
        }

        return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = TimeSpan.FromSeconds(30) }).ConfigureAwait(false);
    }

    private async Task<int> RunAsync(Scenario basis, ParseResult result, CancellationToken cancellationToken)
    {
        try
        {
            var scenario = Change(basis, result);
            var thresholds = Thresholds(scenario, result);
            if (!scenario.Disturbances.IsEmpty && !result.GetValue(_spawn))
            {
                throw new FormatException($"{scenario.Name} kills or restarts processes, so it only runs against a gateway of its own: add --spawn.");
            }

            if (!result.GetValue(_spawn))
            {
                return _gatewayArguments.Length == 0
                    ? await MeasureAsync(scenario, thresholds, result.GetRequiredValue(_url), null, result, cancellationToken).ConfigureAwait(false)
                    : throw new FormatException("What follows -- goes to the gateway of --spawn, which is missing.");
            }

            var settings = new SpawnSettings(result.GetValue(_replicas), result.GetValue(_slots), result.GetValue(_serviceTime) ?? scenario.ServiceTime, scenario.Mix.Keys, _gatewayArguments);
            var gateway = await SpawnedGateway.StartAsync(settings, cancellationToken).ConfigureAwait(false);
            await using var _ = gateway.ConfigureAwait(false);
            Console.WriteLine($"Started a gateway at {gateway.Url} with {settings}.");
            return await MeasureAsync(scenario, thresholds, gateway.Url, gateway, result, cancellationToken).ConfigureAwait(false);
        }
        catch (FormatException e)
        {
            await Console.Error.WriteLineAsync(e.Message).ConfigureAwait(false);
            return Usage;
        }
        catch (Exception e) when (e is SpawnException or TargetException or IOException or UnauthorizedAccessException or OperationCanceledException)
        {
            await Console.Error.WriteLineAsync(e is OperationCanceledException ? "Stopped." : e.Message).ConfigureAwait(false);
            return Failed;
        }
    }

    private async Task<int> MeasureAsync(
        Scenario scenario, IReadOnlyList<Threshold> thresholds, Uri url, SpawnedGateway? gateway, ParseResult result, CancellationToken cancellationToken)
    {
        var model = result.GetValue(_model) ?? (gateway is null ? await FirstModelAsync(url, scenario.Mix.Keys, cancellationToken).ConfigureAwait(false) : SpawnedGateway.Model);
        using var client = new OpenAiClient(url, model, scenario.Mix.Keys, isTextChecked: !result.GetValue(_noTextCheck), result.GetValue(_newConnections));
        await TryOutAsync(client, scenario, url, model).ConfigureAwait(false);
        var maxInFlight = result.GetValue(_maxInFlight);
        var notes = new List<string>();
        if (OpenFileLimit.Current() is { } files && files - OpenFileLimit.Others < MostAtOnce(scenario, maxInFlight))
        {
            var wanted = MostAtOnce(scenario, maxInFlight);
            maxInFlight = Math.Max(1, Math.Min(maxInFlight, files - OpenFileLimit.Others));
            Console.WriteLine($"Warning: this may take {wanted} connections at once, and the limit of open files is {files}. At most {maxInFlight} are used; raise it with ulimit -n.");
            notes.Add($"The limit of open files, {files}, allowed {maxInFlight} requests at once.");
        }

        if ((result.GetValue(_warmUp) ?? TimeSpan.FromSeconds(1)) is { Ticks: > 0 } warmUp)
        {
            var warming = scenario with { Stages = [new ClosedStage("warm-up", warmUp, 2)], Seed = ~scenario.Seed };
            await new LoadRunner(warming, client, maxInFlight).RunAsync(cancellationToken).ConfigureAwait(false);
        }

        Console.WriteLine($"{scenario.Name}: {scenario.Description}");
        var runner = new LoadRunner(scenario, client, maxInFlight);
        var startedAt = TimeProvider.System.GetUtcNow();
        var (testerBefore, gatewayBefore) = (Environment.CpuUsage.TotalTime, gateway?.ProcessorTime);
        var run = runner.RunAsync(cancellationToken);
        var disturbing = gateway is null ? Task.CompletedTask : gateway.DisturbAsync(scenario.Disturbances, notes.Add, cancellationToken);
        await new ProgressDisplay(scenario, runner, AnsiConsole.Console).ShowAsync(run).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
        await disturbing.ConfigureAwait(false);

        var report = RunReport.Create(scenario, url, model, startedAt, Machine(), await run.ConfigureAwait(false));
        var gatewayCpu = (gateway?.ProcessorTime - gatewayBefore)?.TotalSeconds;
        Note(report, notes);
        report = report with
        {
            Notes = [.. notes],
            Cpu = new CpuReport((Environment.CpuUsage.TotalTime - testerBefore).TotalSeconds, gatewayCpu, gatewayCpu * 1000 / Math.Max(1, report.Whole.Requests)),
        };
        report = report with { Thresholds = [.. thresholds.Select(threshold => threshold.Judge(report))] };
        return Show(report, result.GetValue(_out));
    }

    private static int Show(RunReport report, string? folder)
    {
        Console.WriteLine();
        Console.Write(MarkdownReport.Render(report));
        if (folder is not null)
        {
            ReportFiles.Write(report, folder);
            Console.WriteLine($"\nReports: {Path.Combine(folder, "report.html")}, report.md, report.json");
        }

        var failed = report.Thresholds.Where(static threshold => !threshold.Passed).ToList();
        if (report.Whole.Requests == 0)
        {
            Console.WriteLine("\nFAILED: no request was due; there is nothing to judge.");
            return Failed;
        }

        Console.WriteLine();
        failed.ForEach(static threshold => Console.WriteLine(threshold));
        if (failed.Count == 0)
        {
            Console.WriteLine(report.Thresholds.IsEmpty ? "Done; no threshold was set." : $"Done; all {report.Thresholds.Length} thresholds hold.");
        }

        return failed.Count == 0 ? Passed : Failed;
    }

    /// <summary>What would mislead a reader of the numbers.</summary>
    private static void Note(RunReport report, List<string> notes)
    {
        var whole = report.Whole;
        if (whole.Lag is { } lag && lag.P99 > MostLag.TotalMilliseconds)
        {
            notes.Add($"The tester sent late (p99 {Numbers.Milliseconds(lag.P99)}): this machine was too busy for both. The latencies hold it too, for they count from the intended start.");
        }

        if (report.Reasons.FirstOrDefault(static reason => reason.Reason == OpenAiClient.ResponseEnded) is { } ended)
        {
            notes.Add($"{ended.Count} connections ended without an answer. A llama-server closes behind a stream without saying so; against one without a gateway, use --new-connections.");
        }

        if (whole.Outcomes[Outcome.NotSent.ToLabel()] is > 0 and var notSent)
        {
            notes.Add($"{notSent} requests were never sent, for the tester may not have more in flight (--max-in-flight).");
        }
    }

    private Scenario Change(Scenario scenario, ParseResult result)
    {
        var share = result.GetValue(_streamShare);
        if (share is < 0 or > 1)
        {
            throw new FormatException("--stream-share is between 0 and 1.");
        }

        scenario = scenario with
        {
            Rate = result.GetValue(_rate) ?? scenario.Rate,
            Patience = result.GetValue(_patience) ?? scenario.Patience,
            Seed = result.GetValue(_seed) ?? scenario.Seed,
            Mix = scenario.Mix with
            {
                StreamShare = share ?? scenario.Mix.StreamShare,
                PromptTokens = result.GetValue(_promptTokens) ?? scenario.Mix.PromptTokens,
                MaxTokens = result.GetValue(_maxTokens) ?? scenario.Mix.MaxTokens,
                Keys = result.GetValue(_keys) is { Length: > 0 } keys ? [.. keys.Select(ParseKey)] : scenario.Mix.Keys,
            },
        };
        scenario = result.GetValue(_duration) is { } duration ? scenario.Lasting(duration) : scenario;
        scenario = result.GetValue(_concurrency) is { } workers ? scenario.WithWorkers(workers) : scenario;
        return result.GetValue(_arrivals) switch
        {
            null => scenario,
            "fixed" => scenario.WithArrivals(ArrivalPattern.Fixed),
            "poisson" => scenario.WithArrivals(ArrivalPattern.Poisson),
            var other => throw new FormatException($"--arrivals: '{other}' is neither fixed nor poisson"),
        };
    }

    private List<Threshold> Thresholds(Scenario scenario, ParseResult result)
    {
        var asked = _thresholds.SelectMany(pair => (result.GetValue(pair.Option) ?? []).Select(text => Threshold.Parse(pair.Kind, text))).ToList();
        if (asked.FirstOrDefault(threshold => threshold.Stage is { } name && scenario.Stages.All(stage => stage.Name != name)) is { } unknown)
        {
            throw new FormatException($"--{unknown.Kind.Name}: {scenario.Name} has no stage '{unknown.Stage}' but {string.Join(", ", scenario.Stages.Select(static stage => stage.Name))}");
        }

        var own = scenario.Thresholds.Where(pair => asked.All(threshold => threshold.Kind.Name != pair.Name))
            .Select(static pair => Threshold.Parse(ThresholdKind.All.First(kind => kind.Name == pair.Name), pair.Limit));
        return [.. own, .. asked];
    }

    private static KeyShare ParseKey(string text)
    {
        var split = text.LastIndexOf('=');
        return split > 0 && double.TryParse(text.AsSpan(split + 1), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var weight)
            ? new KeyShare(text[..split], weight)
            : new KeyShare(text);
    }

    /// <summary>The most requests that can be open at once: all that come while the first one is waited for.</summary>
    private static int MostAtOnce(Scenario scenario, int maxInFlight) => scenario.Stages.Max(stage => stage switch
    {
        ClosedStage closed => closed.Workers,
        OpenStage open => (int)Math.Min(maxInFlight, Math.Max(open.FromLoad, open.ToLoad) * scenario.Rate * Math.Min(scenario.Patience.TotalSeconds, stage.Duration.TotalSeconds)),
        _ => 0,
    });

    private static async Task<string> FirstModelAsync(Uri url, ImmutableArray<KeyShare> keys, CancellationToken cancellationToken)
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(10) };
        var root = url.AbsoluteUri.TrimEnd('/');
        using var request = new HttpRequestMessage(HttpMethod.Get, (root.EndsWith("/v1", StringComparison.Ordinal) ? root : root + "/v1") + "/models");
        if (!keys.IsEmpty)
        {
            request.Headers.TryAddWithoutValidation("Authorization", "Bearer " + keys[0].Key);
        }

        try
        {
            using var response = await http.SendAsync(request, cancellationToken).ConfigureAwait(false);
            using var models = JsonDocument.Parse(await response.Content.ReadAsStringAsync(cancellationToken).ConfigureAwait(false));
            return models.RootElement.GetProperty("data")[0].GetProperty("id").GetString()!;
        }
        catch (HttpRequestException e)
        {
            throw new TargetException($"{url} is not to be reached: {e.Message} Start a server there, name another with --url, or let --spawn start one.");
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or IndexOutOfRangeException)
        {
            throw new TargetException($"{url} lists no models. Name one with --model.");
        }
    }

    /// <summary>One request before the many: a wrong URL, model or key is said once, not counted a thousand times.</summary>
    private static async Task TryOutAsync(OpenAiClient client, Scenario scenario, Uri url, string model)
    {
        var record = new RequestRecord { IntendedStart = Stopwatch.GetTimestamp() };
        var request = new Visit(scenario, 0).Next() with { Stream = false, MaxTokens = 1, LeaveAfter = null, BytesPerSecond = null };
        await client.SendAsync(request, record, TimeSpan.FromSeconds(60), answer: null).ConfigureAwait(false);
        if (record.Outcome == Outcome.Error)
        {
            throw new TargetException($"{url} did not answer a first request for the model {model}: {record.Reason}.");
        }
    }

    internal static string Machine() => string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessorCount} cores, {RuntimeInformation.OSDescription}, .NET {Environment.Version}");

    private static Option<TimeSpan?> Time(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "30s",
        CustomParser = static result => Read<TimeSpan?>(result, "a duration such as 500ms, 30s or 5m", static (string text, out TimeSpan? value) =>
        {
            var isDuration = Duration.TryParse(text, out var duration);
            value = duration;
            return isDuration;
        }),
    };

    private static Option<double?> Positive(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = static result => Read<double?>(result, "a number above 0", static (string text, out double? value) =>
        {
            var isNumber = double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) && number > 0;
            value = number;
            return isNumber;
        }),
    };

    private static Option<int?> Count(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = static result => Read<int?>(result, "a whole number above 0", static (string text, out int? value) =>
        {
            var isNumber = int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0;
            value = number;
            return isNumber;
        }),
    };

    private static Option<Distribution?> Spread(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = static result => Read<Distribution?>(result, "a length such as 64, 16..256 or 128~0.8", static (string text, out Distribution? value) =>
        {
            var isSpread = Distribution.TryParse(text, out var spread);
            value = spread;
            return isSpread;
        }),
    };

    private static T? Read<T>(System.CommandLine.Parsing.ArgumentResult result, string expected, Parser<T> parse)
    {
        var text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        if (parse(text, out var value))
        {
            return value;
        }

        result.AddError($"'{text}' is not {expected}");
        return default;
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

/// <summary>The server under test can't be tested; the message says why.</summary>
internal sealed class TargetException(string message) : Exception(message);
