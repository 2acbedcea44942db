using Microsoft.Extensions.Logging;

namespace LlmGateway.ProcessManager.Supervision.Liveness;

/// <summary>The replicas of one model, as liveness sees them together: whoever looks hung asks here before it is ended.</summary>
internal sealed class LivenessPool(string model, Func<int> size, TimeProvider time, ILogger logger)
{
    private readonly Lock _lock = new();
    private readonly long _born = time.GetTimestamp();
    private KillShare _share = new();

    /// <summary>May the one that looks hung be ended now?</summary>
    /// <param name="index">Which replica.</param>
    /// <param name="gather">How long to wait for others that hang at the same time.</param>
    public KillAnswer Ask(int index, TimeSpan gather)
    {
        KillAnswer answer;
        bool isNewPanic;
        int suspects;
        var poolSize = Math.Max(1, size());
        lock (_lock)
        {
            var before = _share;
            (_share, answer) = before.Ask(index, poolSize, gather, time.GetElapsedTime(_born));
            (isNewPanic, suspects) = (_share.IsPanic && !before.IsPanic, _share.Suspects);
        }

        if (isNewPanic)
        {
            Log.Panic(logger, model, suspects, poolSize);
        }

        return answer;
    }

    /// <summary>It does not look hung any more, or its process is gone.</summary>
    public void Well(int index)
    {
        lock (_lock)
        {
            _share = _share.Well(index, Math.Max(1, size()), time.GetElapsedTime(_born));
        }
    }

    /// <summary>It has come up.</summary>
    public void Up(int index)
    {
        lock (_lock)
        {
            _share = _share.Up(index, Math.Max(1, size()), time.GetElapsedTime(_born));
        }
    }
}
