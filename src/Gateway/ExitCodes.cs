namespace LlmGateway.Gateway;

/// <summary>What the process's exit code says, after BSD's sysexits.</summary>
internal static class ExitCodes
{
    /// <summary>Stopped as asked.</summary>
    public const int Ok = 0;

    /// <summary>A listener could not bind.</summary>
    public const int Unavailable = 69;

    /// <summary>A fault of the gateway's own.</summary>
    public const int Software = 70;

    /// <summary>The configuration is wrong.</summary>
    public const int Configuration = 78;
}
