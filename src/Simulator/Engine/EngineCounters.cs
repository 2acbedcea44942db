namespace LlmGateway.Simulator.Engine;

/// <summary>The numbers behind <c>/metrics</c>.</summary>
internal sealed class EngineCounters
{
    private readonly Lock _lock = new();
    private Totals _totals;

    /// <summary>Sums since the start; the rates of /metrics are averages over them.</summary>
    public record struct Totals(
        long PromptTokens,
        long PromptTokensCached,
        double PromptMilliseconds,
        long Predicted,
        double PredictedMilliseconds,
        long Decodes,
        long BusySlots,
        long MostTokens);

    public Totals Read()
    {
        lock (_lock)
        {
            return _totals;
        }
    }

    public void PromptDone(Generation generation)
    {
        lock (_lock)
        {
            _totals.PromptTokens += generation.EvaluatedTokens;
            _totals.PromptTokensCached += generation.CachedTokens;
            _totals.PromptMilliseconds += generation.PromptMilliseconds;
            _totals.Decodes++;
            _totals.BusySlots++;
            _totals.MostTokens = Math.Max(_totals.MostTokens, generation.Prompt.Length);
        }
    }

    public void AnswerDone(Generation generation)
    {
        lock (_lock)
        {
            _totals.Predicted += generation.Predicted;
            _totals.PredictedMilliseconds += generation.PredictedMilliseconds;
            _totals.Decodes += generation.Predicted;
            _totals.BusySlots += generation.Predicted;
            _totals.MostTokens = Math.Max(_totals.MostTokens, generation.Prompt.Length + generation.Predicted);
        }
    }
}
