namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

/// <summary>What this project believes about llama-server. The same facts run against the real one and against the simulator, so that the stand-in cannot drift.</summary>
public abstract partial class BackendFacts(BackendFixture fixture)
{
    private const string TimingMembers =
        "cache_n prompt_n prompt_ms prompt_per_token_ms prompt_per_second predicted_n predicted_ms predicted_per_token_ms predicted_per_second";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private Task<RunningBackend> SharedAsync() => fixture.SharedAsync(Cancellation);

    private static string Chat(string content, string more = "") =>
        $$"""{"messages":[{"role":"user","content":"{{content}}"}]{{(more.Length > 0 ? "," + more : "")}}}""";
}
