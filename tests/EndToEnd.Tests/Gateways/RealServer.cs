namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>The real llama-server and its models of noise, as <c>test.sh</c> names them.</summary>
internal static class RealServer
{
    public static string? Executable { get; } = Environment.GetEnvironmentVariable("LLAMA_SERVER");

    /// <summary>0.7 MB; loads at once.</summary>
    public static string? TinyModel { get; } = Environment.GetEnvironmentVariable("LLMGATEWAY_TINY_MODEL");

    /// <summary>113 MB; some milliseconds a token.</summary>
    public static string? MediumModel { get; } = Environment.GetEnvironmentVariable("LLMGATEWAY_MEDIUM_MODEL");

    public static bool IsThere => File.Exists(Executable) && File.Exists(TinyModel) && File.Exists(MediumModel);

    /// <summary>Skips the running test where there is none.</summary>
    public static void SkipIfAbsent() => Assert.SkipUnless(IsThere, "LLAMA_SERVER, LLMGATEWAY_TINY_MODEL and LLMGATEWAY_MEDIUM_MODEL name no files: run ./test.sh");
}
