namespace LlmGateway.TestKit;

/// <summary>A folder of its own, removed on dispose. Its path is short enough for a Unix socket.</summary>
public sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("llmgw-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
