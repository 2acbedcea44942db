using System.CommandLine;
using System.Net.ServerSentEvents;
using System.Text.Json;
using System.Text.Json.Nodes;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Operations.Cli;

/// <summary>The verbs that talk to a running gateway.</summary>
/// <param name="configured">The configuration that the arguments name, and its state directory: whose gateway is meant.</param>
/// <param name="output">Where results go.</param>
/// <param name="errors">Where failures are told.</param>
internal sealed class OperatorVerbs(Func<ParseResult, (GatewayOptions Options, string StateDirectory)> configured, TextWriter output, TextWriter errors)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private readonly Option<string?> _management = new("--management") { Description = "The management listener of the gateway; else the one that the configuration names.", HelpName = "URL" };
    private readonly Option<bool> _json = new("--json") { Description = "As JSON." };
    private readonly Option<bool> _noWait = new("--no-wait") { Description = "Return as soon as the command is accepted." };

    public void AddTo(RootCommand root)
    {
        root.Add(Status());
        root.Add(Requests());
        root.Add(Events());
        root.Add(Logs());
        foreach (var (verb, what) in new[]
        {
            ("drain", "Give a backend no new work; what runs may finish."), ("resume", "Give a drained backend work again."), ("stop", "Let a backend finish, then end its process."),
            ("start", "Start a stopped backend."), ("reset", "Forget a backend's failures, and start it."),
        })
        {
            root.Add(OfBackend(verb, what));
        }

        root.Add(Restart());
        root.Add(OfModel("load", "Load a model."));
        root.Add(OfModel("unload", "Let a model finish, then end its processes."));
        root.Add(Scale());
        root.Add(Reload());
        root.Add(Cancel());
        root.Add(Dashboard());
    }

    private Command Status()
    {
        var model = new Argument<string?>("MODEL") { Description = "Only this model.", Arity = ArgumentArity.ZeroOrOne };
        return Verb("status", "Show models and backends of the running gateway.", [model], [_json], async (link, result, cancellationToken) =>
        {
            var status = await link.GetAsync("api/status", cancellationToken);
            var wanted = result.GetValue(model);
            if (wanted is not null && status["models"]!.AsArray().All(one => (string?)one!["name"] != wanted))
            {
                throw new VerbFailure(VerbFailure.Refused, $"The gateway has no model '{wanted}'.");
            }

            Write(result.GetValue(_json) ? status.ToJsonString(Indented) : StatusText.OfStatus(status, wanted, TimeProvider.System.GetUtcNow()));
        });
    }

    private Command Requests() => Verb("requests", "List the requests in the gateway and the last ones.", [], [_json], async (link, result, cancellationToken) =>
    {
        var requests = await link.GetAsync("api/requests", cancellationToken);
        Write(result.GetValue(_json) ? requests.ToJsonString(Indented) : StatusText.OfRequests(requests));
    });

    private Command Cancel()
    {
        var id = new Argument<string>("ID") { Description = "The request's x-request-id." };
        return Verb("cancel", "End a request, as if its client had left.", [id], [], async (link, result, cancellationToken) =>
            Write($"cancelled {(await link.PostAsync($"api/requests/{Uri.EscapeDataString(result.GetValue(id)!)}/cancel", cancellationToken))?["cancelled"]}"));
    }

    private Command Events()
    {
        var follow = new Option<bool>("--follow", "-f") { Description = "Go on with what happens." };
        var tail = new Option<int>("--tail") { Description = "So many of the last ones.", HelpName = "N", DefaultValueFactory = _ => 20 };
        return Verb("events", "Show what has happened.", [], [tail, follow, _json], async (link, result, cancellationToken) =>
        {
            var isJson = result.GetValue(_json);
            if (!result.GetValue(follow))
            {
                foreach (var one in (await link.GetAsync($"api/events?tail={result.GetValue(tail)}", cancellationToken)).AsArray())
                {
                    Write(isJson ? one!.ToJsonString() : StatusText.OfEvent(one!));
                }

                return;
            }

            using var response = await link.OpenStreamAsync($"api/events?tail={result.GetValue(tail)}", cancellationToken);
            await foreach (var one in SseParser.Create(await response.Content.ReadAsStreamAsync(cancellationToken)).EnumerateAsync(cancellationToken))
            {
                Write(isJson ? one.Data : one.EventType == "gap" ? "(events before this are no longer kept)" : StatusText.OfEvent(JsonNode.Parse(one.Data)!));
            }
        });
    }

    private Command Logs()
    {
        var backend = Backend();
        var follow = new Option<bool>("--follow", "-f") { Description = "Go on with what it writes." };
        var tail = new Option<int>("--tail") { Description = "So many of the last lines.", HelpName = "N", DefaultValueFactory = _ => 200 };
        return Verb("logs", "Show what a backend's process has written.", [backend], [tail, follow], async (link, result, cancellationToken) =>
        {
            using var response = await link.OpenStreamAsync($"{PathOf(result.GetValue(backend)!)}/logs?tail={result.GetValue(tail)}{(result.GetValue(follow) ? "&follow=true" : "")}", cancellationToken);
            using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(cancellationToken));
            while (await reader.ReadLineAsync(cancellationToken) is { } line)
            {
                Write(line);
            }
        });
    }

    private Command OfBackend(string verb, string what)
    {
        var backend = Backend();
        return Verb(verb, what, [backend], [_noWait], async (link, result, cancellationToken) =>
            Tell(result.GetValue(backend)!, await link.PostAsync($"{PathOf(result.GetValue(backend)!)}/{verb}{Wait(result)}", cancellationToken)));
    }

    private Command Restart()
    {
        var subject = new Argument<string>("BACKEND|MODEL") { Description = "A backend (demo/0), or a model: its backends one after another, each when the last one takes work again." };
        return Verb("restart", "Let a backend finish, then replace its process.", [subject], [_noWait], async (link, result, cancellationToken) =>
        {
            var name = result.GetValue(subject)!;
            var models = (await link.GetAsync("api/status", cancellationToken))["models"]!.AsArray();
            var path = models.Any(model => (string?)model!["name"] == name) ? $"api/models/{Uri.EscapeDataString(name)}" : PathOf(name);
            Tell(name, await link.PostAsync($"{path}/restart{Wait(result)}", cancellationToken));
        });
    }

    private Command OfModel(string verb, string what)
    {
        var model = new Argument<string>("MODEL") { Description = "The model's name." };
        return Verb(verb, what, [model], [_noWait], async (link, result, cancellationToken) =>
            Tell(result.GetValue(model)!, await link.PostAsync($"api/models/{Uri.EscapeDataString(result.GetValue(model)!)}/{verb}{Wait(result)}", cancellationToken)));
    }

    private Command Scale()
    {
        var model = new Argument<string>("MODEL") { Description = "The model's name." };
        var count = new Argument<int>("N") { Description = "So many replicas." };
        return Verb("scale", "Change how many replicas a model has, until the next reload.", [model, count], [_noWait], async (link, result, cancellationToken) =>
            Tell(result.GetValue(model)!, await link.PostAsync($"api/models/{Uri.EscapeDataString(result.GetValue(model)!)}/scale/{result.GetValue(count)}{Wait(result)}", cancellationToken)));
    }

    private Command Reload()
    {
        var plan = new Option<bool>("--plan") { Description = "Only say what would change." };
        return Verb("reload", "Read the configuration file again and apply what differs.", [], [plan, _noWait, _json], async (link, result, cancellationToken) =>
        {
            var answer = await link.PostAsync($"api/reload{(result.GetValue(plan) ? "?plan=true" : Wait(result))}", cancellationToken);
            if (result.GetValue(_json))
            {
                Write(answer?.ToJsonString(Indented) ?? "{}");
                return;
            }

            Write((answer?["plan"] as JsonArray)?.Select(line => line!.ToString()).ToArray() is { Length: > 0 } lines ? string.Join('\n', lines) : answer?["plan"]?.ToString() is { Length: > 0 } text and not "[]" ? text : "nothing to change");
        });
    }

    private Command Dashboard() => Verb("dashboard", "Print a link that opens the dashboard once.", [], [], async (link, _, cancellationToken) =>
        Write((string?)(await link.PostAsync("api/login-links", cancellationToken))!["url"] ?? ""));

    private static Argument<string> Backend() => new("BACKEND") { Description = "As status names it: demo/0." };

    private Command Verb(
        string name, string what, IEnumerable<Argument> arguments, IEnumerable<Option> options, Func<ManagementLink, ParseResult, CancellationToken, Task> run)
    {
        var command = new Command(name, what) { _management };
        foreach (var argument in arguments)
        {
            command.Add(argument);
        }

        foreach (var option in options)
        {
            command.Add(option);
        }

        command.SetAction(async (result, cancellationToken) =>
        {
            try
            {
                var (gateway, stateDirectory) = configured(result);
                using var link = ManagementLink.Open(result.GetValue(_management), gateway, stateDirectory);
                await run(link, result, cancellationToken);
                return 0;
            }
            catch (VerbFailure e)
            {
                await errors.WriteLineAsync(e.Message);
                return e.ExitCode;
            }
            catch (Exception e) when (e is HttpIOException or IOException or OperationCanceledException && !cancellationToken.IsCancellationRequested)
            {
                await errors.WriteLineAsync($"The gateway ended the conversation: {e.Message}");
                return VerbFailure.Unreachable;
            }
        });
        return command;
    }

    /// <summary>A backend's path: what is before the last slash is the model.</summary>
    private static string PathOf(string backend)
    {
        var cut = backend.LastIndexOf('/');
        return cut > 0 && int.TryParse(backend.AsSpan(cut + 1), out var index) && index >= 0
            ? $"api/replicas/{Uri.EscapeDataString(backend[..cut])}/{index}"
            : throw new VerbFailure(VerbFailure.Refused, $"'{backend}' names no backend: it is a model and a number, such as demo/0. 'status' lists them.");
    }

    private string Wait(ParseResult result) => result.GetValue(_noWait) ? "" : "?wait=true";

    private void Tell(string subject, JsonNode? answer) => Write(answer switch
    {
        null => $"{subject}: accepted",
        _ when (string?)answer["state"] is { } state => $"{subject}: {state}{((string?)answer["notRoutableBecause"] is { } why ? $" ({why})" : "")}",
        _ when answer["restarted"] is { } count => $"{subject}: {count} backends restarted",
        _ => $"{subject}: done",
    });

    private void Write(string text)
    {
        output.Write(text.EndsWith('\n') ? text : text + "\n");
        output.Flush();
    }
}
