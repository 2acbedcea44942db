namespace LlmGateway.Gateway.Scheduling.Order;

/// <summary>One key's account with one model. Guarded by the queue's lock.</summary>
internal sealed class KeyLedger(string name)
{
    /// <summary>How far a single answer moves the mean.</summary>
    private const double Pace = 0.1;

    private int _weight = 1;

    public string Name { get; } = name;

    /// <summary>Share against other keys of the same band. A new value counts once nobody waits on the old one.</summary>
    public int Weight
    {
        get => _weight;
        set => _weight = Waiting == 0 ? Math.Max(1, value) : _weight;
    }

    /// <summary>Requests that wait, all bands together.</summary>
    public int Waiting { get; set; }

    /// <summary>Requests that hold slots.</summary>
    public int Running { get; set; }

    /// <summary>Tokens of the answers that it usually gets; null before the first.</summary>
    public double? MeanCompletion { get; private set; }

    public void Record(long completion) => MeanCompletion = MeanCompletion is { } mean ? mean + (Pace * (completion - mean)) : completion;
}
