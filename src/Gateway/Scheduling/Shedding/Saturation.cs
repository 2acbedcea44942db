namespace LlmGateway.Gateway.Scheduling.Shedding;

/// <summary>Whether a backend is given more than it bears, and how many of its slots are left empty for that. Values in, values out.</summary>
/// <remarks>
/// One rule: when tokens lately took more than twice as long as they did at best beside as many other requests, or three uses in ten were faults, one slot
/// less, and one less again every 10 s, down to one; after 30 s without that, one more. It lowers what the backend is given and never restarts anything.
/// </remarks>
internal sealed class Saturation
{
    private const double Slow = 2;
    private const double Failing = 0.3;

    /// <summary>How far one answer moves the mean; answers before the mean is believed.</summary>
    private const double Pace = 0.3;
    private const int Enough = 5;

    /// <summary>The best is forgotten by so much with each answer: what once was need not come back.</summary>
    private const double Forgetting = 1.001;

    private static readonly TimeSpan Step = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(30);

    // By how many requests ran beside it: parallel slots share a machine, and that is no sign of anything.
    private readonly Dictionary<int, double> _best = [];
    private double _slowness = 1;
    private int _seen;
    private TimeSpan? _lowered;
    private TimeSpan _calmSince;

    /// <summary>Slots that are left empty.</summary>
    public int Less { get; private set; }

    /// <summary>Seconds per token against the best, lately.</summary>
    public double Slowness => _slowness;

    /// <summary>Takes an answer into account.</summary>
    /// <param name="secondsPerToken">What each token after the first took.</param>
    /// <param name="beside">Requests that ran beside it.</param>
    public void Record(double secondsPerToken, int beside)
    {
        var best = _best.TryGetValue(beside, out var known) ? Math.Min(known * Forgetting, secondsPerToken) : secondsPerToken;
        _best[beside] = best;
        _slowness += Pace * ((best > 0 ? secondsPerToken / best : 1) - _slowness);
        _seen = Math.Min(_seen + 1, Enough);
    }

    /// <summary>Looks at what is known now, and takes or gives a slot.</summary>
    /// <param name="total">Slots that the backend has.</param>
    /// <param name="faults">Share of its uses lately that were faults; 0 while there were too few to tell.</param>
    /// <param name="now">Time since whenever; never falls.</param>
    public void Look(int total, double faults, TimeSpan now)
    {
        if ((_seen >= Enough && _slowness > Slow) || faults > Failing)
        {
            _calmSince = now;
            if (_lowered is null || now - _lowered >= Step)
            {
                _lowered = now;
                Less = Math.Min(Less + 1, Math.Max(0, total - 1));
            }
        }
        else if (Less > 0 && now - _calmSince >= Quiet)
        {
            _calmSince = now;
            Less--;
        }
    }

    /// <summary>When a slot is given back if nothing happens until then, or null.</summary>
    public TimeSpan? NextChange => Less > 0 ? _calmSince + Quiet : null;
}
