namespace LlmGateway.Gateway.Operations.Cli;

/// <summary>Why a verb did not do what it was asked: one sentence for standard error, and the exit code.</summary>
internal sealed class VerbFailure(int exitCode, string message) : Exception(message)
{
    /// <summary>The gateway said no, or could not do it.</summary>
    public const int Refused = 1;

    /// <summary>No gateway answers (EX_UNAVAILABLE).</summary>
    public const int Unreachable = 69;

    /// <summary>There is no token, or not the right one (EX_NOPERM).</summary>
    public const int NotAllowed = 77;

    public int ExitCode { get; } = exitCode;
}
