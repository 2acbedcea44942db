using System.Collections.Immutable;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Scaling;

/// <summary>What the keeper of the models is told.</summary>
internal abstract record KeeperMessage
{
    /// <summary>Something may have changed: look.</summary>
    public sealed record Look : KeeperMessage;

    /// <summary>The models of the first configuration come in.</summary>
    public sealed record Prepare(TaskCompletionSource Done) : KeeperMessage;

    /// <summary>What is wanted may be started.</summary>
    public sealed record Begin : KeeperMessage;

    /// <summary>Another configuration comes into force; answers with what is being done about it.</summary>
    public sealed record Apply(
        Func<ModelCatalogue, ModelCatalogue> Change, TaskCompletionSource<Task<ImmutableArray<string>>> Begun, CancellationToken Superseded, CancellationToken Hurry) : KeeperMessage;

    /// <summary>Somebody wants a model that is not loaded.</summary>
    public sealed record Demanded(string Model) : KeeperMessage;

    /// <summary>An operator wants it loaded or unloaded; answers with why it is not, or null.</summary>
    public sealed record Asked(string Model, bool ToBeLoaded, TaskCompletionSource<string?> Done) : KeeperMessage;

    /// <summary>Nothing of the model runs any more.</summary>
    public sealed record Ended(KeptModel Kept) : KeeperMessage;

    /// <summary>The model was taken out.</summary>
    public sealed record Removed(KeptModel Kept) : KeeperMessage;
}
