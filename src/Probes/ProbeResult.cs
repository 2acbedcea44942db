namespace LlmGateway.Probes;

/// <summary>What one try found.</summary>
public enum ProbeOutcome
{
    /// <summary>The server is well.</summary>
    Pass,

    /// <summary>It is not, or nobody answered.</summary>
    Fail,

    /// <summary>llama-server's own 503 "Loading model": alive, on its way, not yet able to work.</summary>
    Loading,
}

/// <summary>Why a try did not pass.</summary>
public enum ProbeReason
{
    /// <summary>It passed.</summary>
    None,

    /// <summary>Nobody listens.</summary>
    Refused,

    /// <summary>No answer in time.</summary>
    Timeout,

    /// <summary>The connection was closed or reset before an answer.</summary>
    Reset,

    /// <summary>An HTTP status outside 200 to 399.</summary>
    Status,

    /// <summary>An answer that is not HTTP.</summary>
    Protocol,

    /// <summary>No way there: name resolution, network, TLS.</summary>
    Unreachable,

    /// <summary>The probe's command ended with another exit code than 0.</summary>
    ExitCode,

    /// <summary>The probe's command could not be started.</summary>
    CannotStart,
}

/// <summary>The finding of one try.</summary>
/// <param name="Outcome">Pass, fail or loading.</param>
/// <param name="Reason">Why not, when it did not pass.</param>
/// <param name="Code">HTTP status or exit code, when there was one.</param>
/// <param name="Elapsed">How long the try took.</param>
public readonly record struct ProbeResult(ProbeOutcome Outcome, ProbeReason Reason, int? Code, TimeSpan Elapsed)
{
    /// <summary>True when somebody listens on the address: any HTTP answer, even an error, or a connection that was made.</summary>
    public bool PortIsOpen => Outcome is not ProbeOutcome.Fail || Reason is ProbeReason.Status or ProbeReason.Protocol;

    /// <summary>A try that passed.</summary>
    public static ProbeResult Pass(TimeSpan elapsed, int? code = null) => new(ProbeOutcome.Pass, ProbeReason.None, code, elapsed);

    /// <summary>A try that failed.</summary>
    public static ProbeResult Fail(ProbeReason reason, TimeSpan elapsed, int? code = null) => new(ProbeOutcome.Fail, reason, code, elapsed);

    /// <summary>For people: <c>passed</c>, <c>refused</c>, <c>status 500</c>, <c>timeout after 1.0 s</c>.</summary>
    public override string ToString() => this switch
    {
        { Outcome: ProbeOutcome.Pass } => "passed",
        { Outcome: ProbeOutcome.Loading } => "loading its model",
        { Reason: ProbeReason.Timeout } => $"no answer within {Elapsed.TotalSeconds:0.0##} s",
        { Reason: ProbeReason.Refused } => "connection refused",
        { Reason: ProbeReason.Reset } => "connection closed without an answer",
        { Reason: ProbeReason.Status } => $"HTTP status {Code}",
        { Reason: ProbeReason.Protocol } => "an answer that is not HTTP",
        { Reason: ProbeReason.ExitCode } => $"exit code {Code}",
        { Reason: ProbeReason.CannotStart } => "the probe's command could not be started",
        _ => "unreachable",
    };
}
