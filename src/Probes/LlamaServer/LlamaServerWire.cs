using System.Text.Json;
using System.Text.Json.Serialization;

namespace LlmGateway.Probes.LlamaServer;

/// <summary>What <c>/health</c> says.</summary>
public enum LlamaServerHealth
{
    /// <summary>200: the model is loaded. Nothing about the engine: see the progress counters.</summary>
    Ok,

    /// <summary>503 "Loading model".</summary>
    Loading,
}

/// <summary><c>/props</c>, the part that a gateway needs.</summary>
/// <param name="TotalSlots">Parallel slots of the server.</param>
/// <param name="ContextPerSlot">Tokens of context that each slot has, or null when not told.</param>
/// <param name="ModelAlias">The model's name as the server gives it, or null.</param>
/// <param name="BuildInfo">The server's version, such as <c>b11669-Debian</c>, or null.</param>
public sealed record LlamaServerProps(int? TotalSlots, int? ContextPerSlot, string? ModelAlias, string? BuildInfo);

/// <summary>One row of <c>/slots</c>: counters only, never text.</summary>
/// <param name="Id">The slot.</param>
/// <param name="IsProcessing">True while it has a task.</param>
/// <param name="TaskId">The last task that it had, or null when it never had one.</param>
/// <param name="Decoded">Tokens made for that task; grows with each token.</param>
/// <param name="PromptTokens">Tokens of the prompt.</param>
/// <param name="PromptTokensProcessed">Those evaluated; stays 0 until a batch is done.</param>
/// <param name="PromptTokensCached">Those taken from the cache.</param>
public sealed record LlamaServerSlot(
    int Id, bool IsProcessing, long? TaskId, long Decoded, long PromptTokens, long PromptTokensProcessed, long PromptTokensCached);

/// <summary>The gauges of <c>/metrics</c> that a gateway needs.</summary>
/// <param name="RequestsProcessing">Requests that have a slot.</param>
/// <param name="RequestsDeferred">Requests that wait for one inside the server: behind a gateway this stays 0.</param>
public sealed record LlamaServerGauges(int RequestsProcessing, int RequestsDeferred);

/// <summary>The server answered, but not with what was asked for.</summary>
public sealed class LlamaServerException : Exception
{
    /// <summary>An answer that can't be used.</summary>
    /// <param name="message">What was asked and what came; never a body.</param>
    /// <param name="status">HTTP status of the answer.</param>
    /// <param name="inner">Why it could not be read.</param>
    public LlamaServerException(string message, int status, Exception? inner = null)
        : base(message, inner) => Status = status;

    /// <summary>HTTP status of the answer.</summary>
    public int Status { get; }
}

internal sealed record PropsWire
{
    public int? TotalSlots { get; init; }

    public string? ModelAlias { get; init; }

    public string? BuildInfo { get; init; }

    public GenerationSettingsWire? DefaultGenerationSettings { get; init; }
}

internal sealed record GenerationSettingsWire
{
    public int? NCtx { get; init; }
}

internal sealed record SlotWire
{
    public int Id { get; init; }

    public bool IsProcessing { get; init; }

    public long? IdTask { get; init; }

    public long? NPromptTokens { get; init; }

    public long? NPromptTokensProcessed { get; init; }

    public long? NPromptTokensCache { get; init; }

    /// <summary>A list with one object; a bare object in older builds.</summary>
    public JsonElement NextToken { get; init; }

    public LlamaServerSlot ToSlot() =>
        new(Id, IsProcessing, IdTask is < 0 ? null : IdTask, Decoded(), NPromptTokens ?? 0, NPromptTokensProcessed ?? 0, NPromptTokensCache ?? 0);

    private long Decoded()
    {
        var token = NextToken is { ValueKind: JsonValueKind.Array } list && list.GetArrayLength() > 0 ? list[0] : NextToken;
        return token.ValueKind is JsonValueKind.Object && token.TryGetProperty("n_decoded", out var n) && n.TryGetInt64(out var decoded) ? decoded : 0;
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, MaxDepth = 32)]
[JsonSerializable(typeof(PropsWire))]
[JsonSerializable(typeof(SlotWire[]))]
internal sealed partial class LlamaServerJson : JsonSerializerContext;
