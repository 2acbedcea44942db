namespace LlmGateway.ProcessManager.Memory;

/// <summary>The file is no GGUF that this reader understands. The message says why, without the file's content.</summary>
public sealed class GgufException : Exception
{
    /// <inheritdoc/>
    public GgufException()
    {
    }

    /// <inheritdoc/>
    public GgufException(string message)
        : base(message)
    {
    }

    /// <inheritdoc/>
    public GgufException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
