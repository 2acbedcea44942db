namespace LlmGateway.Probes;

/// <summary>What a run of results says.</summary>
public enum ProbeHealth
{
    /// <summary>Too few results yet.</summary>
    Unknown,

    /// <summary>Enough passes in a row.</summary>
    Healthy,

    /// <summary>Enough failures in a row.</summary>
    Unhealthy,
}

/// <summary>Results and thresholds, folded into one judgement. A value: each result makes the next one.</summary>
/// <remarks>
/// <code>
/// health    | pass                                  | fail or loading
/// Unknown   | Healthy after SuccessThreshold        | Unhealthy after FailureThreshold
/// Healthy   | stays                                 | Unhealthy after FailureThreshold in a row
/// Unhealthy | Healthy after SuccessThreshold in a row | stays
/// </code>
/// Loading counts as a failure: a server that loads its model can't take work. Whoever cares about the difference reads the result.
/// </remarks>
/// <param name="Health">The judgement.</param>
/// <param name="Passes">Passes in a row, counted up to the threshold.</param>
/// <param name="Failures">Failures in a row.</param>
public readonly record struct ProbeVerdict(ProbeHealth Health, int Passes, int Failures)
{
    /// <summary>The verdict after one more result.</summary>
    public ProbeVerdict Add(ProbeResult result, int successThreshold, int failureThreshold)
    {
        if (result.Outcome is ProbeOutcome.Pass)
        {
            var passes = Math.Min(Passes + 1, successThreshold);
            return new(passes >= successThreshold ? ProbeHealth.Healthy : Health, passes, 0);
        }

        // Failures go on counting past the threshold: "failing for 40 tries" is worth seeing. int.MaxValue is 68 years at one per second.
        var failures = Failures == int.MaxValue ? Failures : Failures + 1;
        return new(failures >= failureThreshold ? ProbeHealth.Unhealthy : Health, 0, failures);
    }
}
