using System.Collections.Immutable;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Telemetry;

namespace LlmGateway.Gateway.Scaling;

/// <summary>How a reload began.</summary>
/// <param name="Errors">Why the file was refused; empty when it was taken.</param>
/// <param name="Change">What it changes, when it was taken.</param>
/// <param name="Applied">Completes when everything is as wanted, with what is not.</param>
internal sealed record ReloadAttempt(ImmutableArray<string> Errors, CatalogueChange? Change, Task<ImmutableArray<string>> Applied);

/// <summary>Reads the configuration again: parse all, validate all, plan, then apply only what differs. A faulty file changes nothing.</summary>
internal sealed class Reloader(LoadedConfiguration first, LiveCatalogue live, ModelKeeper keeper, EventFeed feed, TimeProvider time, ILogger<Reloader> logger)
{
    private readonly Lock _lock = new();
    private string _lastSeen = first.Fingerprint;

    /// <summary>The file, or null when the configuration came from the command line.</summary>
    public string? Path => first.Path;

    /// <summary>What a reload would do now. Changes nothing.</summary>
    public ReloadAttempt Plan()
    {
        var next = Read(out var catalogue);
        return new(Texts(next), next.Errors.IsEmpty ? CatalogueChange.Between(live.Current, catalogue!.After(live.Current)) : null, Task.FromResult(ImmutableArray<string>.Empty));
    }

    /// <summary>Reads the file and begins to apply it.</summary>
    /// <param name="trigger">Who asked, for the log: <c>SIGHUP</c>, <c>the file changed</c>, <c>command</c>.</param>
    public ReloadAttempt Reload(string trigger)
    {
        if (Path is null)
        {
            Log.NothingToReload(logger, trigger);
            return new(["There is no file to read again: the configuration came from the command line."], null, Task.FromResult(ImmutableArray<string>.Empty));
        }

        // Under the lock from reading to handing over: of two reloads the one that read later has the last word.
        lock (_lock)
        {
            var next = Read(out var catalogue);
            _lastSeen = next.Fingerprint;
            if (!next.Errors.IsEmpty)
            {
                var errors = Texts(next);
                Log.ReloadRefused(logger, Path, trigger, string.Join("; ", errors));
                feed.Publish(EventKind.Reload, "gateway", $"The configuration was refused ({trigger}): {errors.Length} errors, the first: {errors[0]}", EventLevel.Error, to: "refused");
                live.Report(live.State with { Path = Path, Errors = errors });
                return new(errors, null, Task.FromResult(ImmutableArray<string>.Empty));
            }

            var change = CatalogueChange.Between(live.Current, catalogue!.After(live.Current));
            live.Report(new(Path, time.GetUtcNow(), []));
            return new([], change, ApplyAsync(catalogue!, change, trigger));
        }
    }

    /// <summary>Reloads when the file's content is another one than was last read.</summary>
    public void ReloadIfChanged()
    {
        // Under the lock from looking to reading: who has edited the file and commands a reload at once must not be overtaken by this one.
        lock (_lock)
        {
            if (Path is { } path && ConfigurationFile.FingerprintOf(path) is { Length: > 0 } now && now != _lastSeen)
            {
                Reload("the file changed");
            }
        }
    }

    private LoadedConfiguration Read(out ModelCatalogue? catalogue)
    {
        var next = Path is { } path ? ConfigurationFile.Load(path, first.Overrides) : first;
        if (next.Errors.IsEmpty && live.Options.Keys.Count > 0 && first.Options.Gateway.Listen.FirstOrDefault(url => GatewayOptionsValidator.IsUnguarded(url, next.Options)) is { } open)
        {
            // A new Listen waits for the next start, keys do not.
            next = next with
            {
                Errors = [new("Keys", "[]", $"the gateway listens on {open} until its next start, where other machines reach it: keep a key until then, or set Gateway:Insecure to true")],
            };
        }

        catalogue = next.Errors.IsEmpty ? new ModelCatalogue(next.Options) : null;
        return next;
    }

    private async Task<ImmutableArray<string>> ApplyAsync(ModelCatalogue next, CatalogueChange change, string trigger)
    {
        ImmutableArray<string> problems;
        try
        {
            problems = await keeper.ApplyAsync(next.After, CancellationToken.None);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Log.ReloadFailed(logger, e);
            problems = [$"The configuration could not be applied: {e.Message}"];
        }

        var summary = Summary(change);
        Log.Reloaded(logger, Path!, trigger, summary);
        feed.Publish(EventKind.Reload, "gateway", $"The configuration is in force ({trigger}): {summary}.", to: "applied");
        foreach (var problem in problems)
        {
            Log.ReloadIncomplete(logger, problem);
            feed.Publish(EventKind.Reload, "gateway", problem, EventLevel.Error);
        }

        lock (_lock)
        {
            if (ReferenceEquals(live.Options, next.Options) && live.State.Errors.IsEmpty)
            {
                live.Report(live.State with { Errors = problems });
            }
        }

        return problems;
    }

    private static string Summary(CatalogueChange change)
    {
        (string What, int Count)[] counts =
        [
            ("added", change.Added.Length), ("removed", change.Removed.Length), ("replaced", change.Replaced.Length),
            ("adjusted", change.Adjusted.Length), ("unchanged", change.Unchanged.Length),
        ];
        var models = string.Join(", ", counts.Where(one => one.Count > 0).Select(one => $"{one.Count} {one.What}"));
        return (models.Length > 0 ? models : "no models")
            + (change.NeedsRestart.IsEmpty ? "" : $"; at the next start only: {string.Join(", ", change.NeedsRestart)}");
    }

    private static ImmutableArray<string> Texts(LoadedConfiguration configuration) => [.. configuration.Errors.Select(error => error.ToString())];
}
