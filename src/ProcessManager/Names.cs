using System.Collections.Frozen;
using System.Text.Json;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.ProcessManager;

/// <summary>States and causes as the outside spells them: snake case.</summary>
public static class Names
{
    private static readonly FrozenDictionary<ReplicaState, string> States = Enum.GetValues<ReplicaState>().ToFrozenDictionary(it => it, it => Snake(it.ToString()));
    private static readonly FrozenDictionary<ExitCause, string> Causes = Enum.GetValues<ExitCause>().ToFrozenDictionary(it => it, it => Snake(it.ToString()));

    /// <summary>Such as <c>not_ready</c>.</summary>
    public static string Of(ReplicaState state) => States[state];

    /// <summary>Such as <c>external_kill</c>.</summary>
    public static string Of(ExitCause cause) => Causes[cause];

    private static string Snake(string name) => JsonNamingPolicy.SnakeCaseLower.ConvertName(name);
}
