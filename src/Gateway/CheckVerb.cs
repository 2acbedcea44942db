using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Scaling;
using LlmGateway.Probes;
using LlmGateway.ProcessManager;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Sampling;

namespace LlmGateway.Gateway;

/// <summary><c>llm-gateway check</c>: reads, validates, and shows what would be run.</summary>
internal static class CheckVerb
{
    public static int Run(LoadedConfiguration configuration, LoadedConfiguration? before, TextWriter output, TextWriter errors)
    {
        LoadedConfiguration[] faulty = [.. new[] { configuration, before }.OfType<LoadedConfiguration>().Where(one => !one.Errors.IsEmpty)];
        if (faulty.Length > 0)
        {
            Array.ForEach(faulty, one => ReportErrors(one, errors));
            return ExitCodes.Configuration;
        }

        var options = configuration.Options;
        var catalogue = new ModelCatalogue(options);
        output.WriteLine($"configuration  {configuration.Path ?? "(command line)"}: ok");
        output.WriteLine($"data           {string.Join(", ", options.Gateway.Listen)}");
        output.WriteLine($"management     {string.Join(", ", options.Management.Listen)}");
        using var services = new ServiceCollection().AddLogging().AddSingleton(TimeProvider.System).AddProcessManager().BuildServiceProvider();
        var factory = services.GetRequiredService<IReplicaSetFactory>();
        var memory = new ModelMemory(services.GetRequiredService<IResourceSampler>());
        output.WriteLine($"memory         {memory.Budget(options.Memory)} for all local models");
        foreach (var model in catalogue.Models)
        {
            Print(model, catalogue, factory, memory, output);
        }

        foreach (var warning in configuration.Warnings)
        {
            output.WriteLine($"warning        {warning}");
        }

        if (before is not null)
        {
            output.WriteLine();
            output.WriteLine($"reload         from {before.Path}:");
            foreach (var line in CatalogueChange.Between(new ModelCatalogue(before.Options), catalogue).Describe())
            {
                output.WriteLine($"  {line}");
            }
        }

        return ExitCodes.Ok;
    }

    /// <summary>Writes every error on a line of its own.</summary>
    public static void ReportErrors(LoadedConfiguration configuration, TextWriter errors)
    {
        errors.WriteLine($"{configuration.Path ?? "The configuration"}: {configuration.Errors.Length} error{(configuration.Errors.Length == 1 ? "" : "s")}");
        foreach (var error in configuration.Errors)
        {
            errors.WriteLine($"  {error}");
        }
    }

    /// <summary>How many processes a model has: <c>2</c>, and <c>1 to 4</c> where that follows its load.</summary>
    public static string Replicas(Model model) => model.IsScaled ? $"{model.Options.Replicas} to {model.MostReplicas}" : $"{model.Options.Replicas}";

    private static void Print(Model model, ModelCatalogue catalogue, IReplicaSetFactory factory, ModelMemory memory, TextWriter output)
    {
        var options = model.Options;
        var kind = System.Text.Json.JsonNamingPolicy.KebabCaseLower.ConvertName(options.Kind.ToString());
        output.WriteLine();
        output.WriteLine($"model          {model.Name}{(options.Aliases.Count > 0 ? $" (also {string.Join(", ", options.Aliases)})" : "")}: {kind}");
        output.WriteLine($"  queue        up to {model.Queue.MaxDepth} waiting, {Duration.Format(model.Queue.Timeout)} for a slot, {Duration.Format(model.Queue.HoldWhileLoading)} while loading");
        if (model.IsLocal && options.Kind != ModelKind.Simulator)
        {
            var (size, unknown) = memory.PerReplica(model, catalogue);
            output.WriteLine($"  memory       {(size is { } known ? $"{known} each process" : unknown)}");
        }

        if (!model.IsLocal)
        {
            foreach (var remote in options.Remotes)
            {
                output.WriteLine($"  remote       {BackendAddress.Remote(new Uri(remote.Url))}, {remote.Slots} slots");
            }

            return;
        }

        output.WriteLine($"  replicas     {Replicas(model)} × {options.Slots} slots, {(options.Transport == ReplicaTransport.Unix ? "Unix sockets" : $"ports {options.Ports}")}");
        var replicaSet = catalogue.ToReplicaSet(model, ModelCatalogue.SimulatorPath);
        for (var i = 0; i < model.MostReplicas; i++)
        {
            output.WriteLine($"  {model.Name}/{i}: {string.Join(' ', factory.Preview(replicaSet, i, options.Ports.First + i).Select(Quote))}");
        }
    }

    /// <summary>As a shell would need it; for reading only, nothing runs through a shell.</summary>
    private static string Quote(string argument) =>
        argument.Length > 0 && argument.All(c => char.IsAsciiLetterOrDigit(c) || "-_./:=,@%+".Contains(c, StringComparison.Ordinal)) ? argument : $"'{argument.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
