namespace LlmGateway.Gateway.Scheduling.Shedding;

/// <summary>Whether a backend is given more than it bears, and how many of its slots are left empty for that. Values in, values out.</summary>
/// <remarks>
/// One rule: when for 3 s tokens took more than twice as long as they usually do beside as many other requests, or first tokens three times as long, or
/// three uses in ten were faults, one slot less, and one less again every 10 s, down to one; after 30 s without that, one more. It lowers what the backend
/// is given and never restarts anything.
/// </remarks>
internal sealed class Saturation
{
    private const double Slow = 2;
    private const double SlowFirst = 3;
    private const double Failing = 0.3;

    /// <summary>What reading a prompt costs before its first token, in tokens: without it short prompts would seem slow.</summary>
    private const int FixedCost = 64;

    private static readonly TimeSpan Lasting = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Step = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(30);

    private readonly Pace _tokens = new();
    private readonly Pace _firstTokens = new();
    private TimeSpan? _slowSince;
    private TimeSpan? _lowered;
    private TimeSpan _calmSince;

    /// <summary>Slots that are left empty.</summary>
    public int Less { get; private set; }

    /// <summary>Takes an answer into account.</summary>
    /// <param name="seconds">From the first to the last token.</param>
    /// <param name="tokens">Tokens after the first.</param>
    /// <param name="beside">Requests that ran beside it.</param>
    public void Record(double seconds, long tokens, int beside) => _tokens.Record(seconds, tokens, beside);

    /// <summary>Takes the wait for a first token into account.</summary>
    /// <param name="seconds">From the grant.</param>
    /// <param name="read">Tokens of the prompt that were not in the server's cache.</param>
    /// <param name="beside">Requests that ran beside it.</param>
    public void RecordFirst(double seconds, long read, int beside) => _firstTokens.Record(seconds, read + FixedCost, beside);

    /// <summary>Looks at what is known now, and takes or gives a slot.</summary>
    /// <param name="total">Slots that the backend has.</param>
    /// <param name="faults">Share of its uses lately that were faults; 0 while there were too few to tell.</param>
    /// <param name="now">Time since whenever; never falls.</param>
    public void Look(int total, double faults, TimeSpan now)
    {
        _slowSince = _tokens.Slowness > Slow || _firstTokens.Slowness > SlowFirst ? _slowSince ?? now : null;
        if (now - _slowSince >= Lasting || faults > Failing)
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

    /// <summary>How long a token usually takes, and how long it took lately.</summary>
    /// <remarks>
    /// Sums of seconds against sums of tokens, so that short answers weigh little. The usual is that of the last hundred answers, by how many requests ran
    /// beside: parallel slots share a machine, and that is no sign of anything. What is slow is learnt a hundred times more slowly, but learnt: it may last.
    /// </remarks>
    private sealed class Pace
    {
        private const double Fading = 0.85;
        private const double UsualFading = 0.99;
        private const double WeightOfSlow = 0.01;
        private const double NotUsual = 1.5;

        /// <summary>Answers before it is believed.</summary>
        private const int Enough = 5;

        private readonly Dictionary<int, (double Seconds, double Tokens)> _usual = [];
        private double _took;
        private double _expected;
        private int _seen;

        /// <summary>What tokens took lately against what they usually take; 1 while that is not known.</summary>
        public double Slowness => _seen >= Enough && _expected > 0 ? _took / _expected : 1;

        public void Record(double seconds, long tokens, int beside)
        {
            var usual = _usual.GetValueOrDefault(beside);
            _took = (_took * Fading) + seconds;
            _expected = (_expected * Fading) + (usual.Tokens > 0 ? tokens * usual.Seconds / usual.Tokens : seconds);
            _seen = Math.Min(_seen + 1, Enough);
            var weight = Slowness > NotUsual ? WeightOfSlow : 1;
            var kept = Math.Pow(UsualFading, weight);
            _usual[beside] = ((usual.Seconds * kept) + (weight * seconds), (usual.Tokens * kept) + (weight * tokens));
        }
    }
}
