using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using LlmGateway.Gateway.Import;
using LlmGateway.Gateway.Keys;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Operations.Cli;

namespace LlmGateway.Gateway;

/// <summary>The verbs and options of <c>llm-gateway</c>.</summary>
internal static class CommandLine
{
    /// <summary>Runs the verb that the arguments name.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(string[] args)
    {
        // What follows -- belongs to llama-server; --Section:Key=value to the configuration; the rest is the gateway's own.
        var end = Array.IndexOf(args, "--");
        var backendArgs = end < 0 ? [] : args[(end + 1)..];
        var own = end < 0 ? args : args[..end];
        var overrides = ConfigurationOverrides.Collect(Environment.GetEnvironmentVariables(), own).ToList();
        own = [.. own.Where(argument => !ConfigurationOverrides.TryParseArgument(argument, out _, out _))];

        var config = new Option<string?>("--config") { Description = "Configuration file.", HelpName = "FILE", Recursive = true };
        var model = new Option<string?>("--model") { Description = "Serve this GGUF file by llama-server, with no configuration file.", HelpName = "FILE.gguf" };
        var huggingFace = new Option<string?>("--hf") { Description = "The same with a model that llama-server downloads.", HelpName = "ORG/REPO[:QUANT]" };
        var llamaServer = new Option<string?>("--llama-server") { Description = "llama-server's path; else LLAMA_SERVER, else PATH.", HelpName = "FILE" };
        var replicas = new Option<int>("--replicas") { Description = "With --model or --hf: processes to run.", DefaultValueFactory = _ => 1 };
        var slots = new Option<int>("--slots") { Description = "With --model or --hf: requests that one process works on at once.", DefaultValueFactory = _ => 4 };

        var root = new RootCommand(
            "A gateway in front of llama.cpp's llama-server processes: it starts, watches, queues for and meters them.\n"
            + "Every scalar of the configuration can be set by --Section:Key=value or LLMGATEWAY__Section__Key. What follows -- goes to llama-server.")
        {
            config, model, huggingFace, llamaServer, replicas, slots,
        };
        var diff = new Option<string?>("--diff") { Description = "Show what a reload from this configuration would touch.", HelpName = "FILE" };
        var check = new Command("check", "Read and validate the configuration, print what would be run.") { diff };
        var name = new Argument<string>("NAME") { Description = "The name that logs and metrics will show." };
        var key = new Command("key", "Make an API key: the secret first, then its entry for the configuration.") { name };
        var import = new Command("import", "Write another program's configuration as ours; what has no equivalent goes to standard error.");
        import.Add(Import("llama-swap", "llama-swap's YAML.", text => LlamaSwapImport.Read(text, Environment.GetEnvironmentVariable)));
        import.Add(Import("llama-server", "The INI file of llama-server's --models-preset.", LlamaServerImport.Read));
        root.Add(import);
        root.Add(check);
        root.Add(key);

        new OperatorVerbs(
            result =>
            {
                // What is wrong with the file must not keep anybody from the gateway that runs.
                var options = LoadFile(result.GetValue(config), overrides).Options;
                return (options, GatewayHost.StateDirectory(options));
            },
            Console.Out,
            Console.Error).AddTo(root);

        LoadedConfiguration Load(ParseResult result)
        {
            var (file, repository) = (result.GetValue(model), result.GetValue(huggingFace));
            if (file is null && repository is null)
            {
                return LoadFile(result.GetValue(config), overrides);
            }

            var executable = result.GetValue(llamaServer) ?? Environment.GetEnvironmentVariable("LLAMA_SERVER");
            var document = QuickModel(file, repository, executable is { Length: > 0 } ? executable : "llama-server", result.GetValue(replicas), result.GetValue(slots), backendArgs);
            return ConfigurationFile.Parse(null, document.ToJsonString(), overrides);
        }

        root.SetAction((result, cancellationToken) => ServeVerb.RunAsync(Load(result), cancellationToken));
        check.SetAction(result => CheckVerb.Run(Load(result), result.GetValue(diff) is { } before ? LoadFile(before, overrides) : null, Console.Out, Console.Error));
        key.SetAction(result => NewKey(result.GetValue(name)!));
        var parsed = root.Parse(own);
        if (parsed.Errors.Count > 0)
        {
            foreach (var error in parsed.Errors)
            {
                await Console.Error.WriteLineAsync(error.Message);
            }

            await Console.Error.WriteLineAsync("llm-gateway --help lists what there is.");
            return ExitCodes.Configuration;
        }

        return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null, EnableDefaultExceptionHandler = false });
    }

    private static Command Import(string program, string description, Func<string, Imported> read)
    {
        var file = new Argument<string>("FILE") { Description = "Its configuration file." };
        var target = new Option<string?>("--out") { Description = "Write to this new file instead of standard output.", HelpName = "FILE" };
        var command = new Command(program, description) { file, target };
        command.SetAction(result => ImportVerb.Run(read, result.GetValue(file)!, result.GetValue(target), Console.Out, Console.Error));
        return command;
    }

    private static LoadedConfiguration LoadFile(string? option, IEnumerable<(string[] Path, string Value)> overrides)
    {
        var path = ConfigurationFile.Find(
            option, Environment.GetEnvironmentVariable("LLMGATEWAY_CONFIG"), Environment.CurrentDirectory, AppContext.BaseDirectory);
        return path is null
            ? new LoadedConfiguration(null, new GatewayOptions(), [new("", null, "No configuration: there is no ./config/gateway.json. Name one with --config FILE, or serve a model with --model FILE.gguf.")], [])
            : ConfigurationFile.Load(path, overrides);
    }

    /// <summary>The configuration of one llama-server model, as its file would say it.</summary>
    private static JsonObject QuickModel(string? file, string? repository, string executable, int replicas, int slots, string[] backendArgs)
    {
        var name = GatewayOptionsValidator.ToModelName(file is not null ? Path.GetFileNameWithoutExtension(file) : repository!);
        string[] source = file is not null ? ["-m", file] : ["-hf", repository!];
        return new JsonObject
        {
            ["Models"] = new JsonObject
            {
                [name] = new JsonObject
                {
                    ["Kind"] = "llama-server",
                    ["Executable"] = executable,
                    ["Args"] = new JsonArray([.. source.Concat(backendArgs).Select(argument => JsonValue.Create(argument))]),
                    ["Replicas"] = replicas.ToString(CultureInfo.InvariantCulture),
                    ["Slots"] = slots.ToString(CultureInfo.InvariantCulture),
                },
            },
        };
    }

    private static int NewKey(string name)
    {
        if (!GatewayOptionsValidator.IsKeyName(name))
        {
            Console.Error.WriteLine($"A key's name has 1 to 64 letters, digits, or . _ -; \"{name}\" has not.");
            return ExitCodes.Configuration;
        }

        var (secret, hash) = ApiKey.Create();
        Console.Out.WriteLine(secret);
        Console.Out.WriteLine($$"""{ "Name": "{{name}}", "Hash": "{{hash}}", "Models": ["*"] }""");
        return ExitCodes.Ok;
    }
}
