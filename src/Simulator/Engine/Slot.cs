namespace LlmGateway.Simulator.Engine;

/// <summary>One decode lane. The pool's lock guards all but the generation's own counters.</summary>
internal sealed class Slot(int id)
{
    public int Id { get; } = id;

    /// <summary>What runs here, or null.</summary>
    public Generation? Current { get; set; }

    /// <summary>What ran here last, for <c>/slots</c>.</summary>
    public Generation? Last { get; set; }

    /// <summary>Prompt and answer of the last request.</summary>
    public List<int> Held { get; set; } = [];

    public long LastUsed { get; set; } = -1;

    /// <summary>Busy for ever by a fault.</summary>
    public bool Leaked { get; set; }

    public bool IsBusy => Current is not null || Leaked;
}
