using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Sampling;

/// <summary>Makes samples of one replica's process group out of readings. One per generation, so a baseline never outlives its process.</summary>
/// <remarks>
/// CPU time is added up member by member: the time of a member that has ended stays in the sum, and a number that is given out again
/// (another start, same pid) begins anew instead of counting backwards.
/// </remarks>
internal sealed class ProcessMeter(string backend, int generation, int pid)
{
    private readonly Dictionary<(int Pid, long StartedAt), TimeSpan> _last = [];
    private TimeSpan _cpu;
    private TimeSpan? _lastAt;
    private long? _leader;

    /// <summary>The next sample; null when the process itself is not there (any more).</summary>
    /// <param name="readings">The members of the group, the launched process among them.</param>
    /// <param name="now">On a clock that only runs forward.</param>
    /// <param name="at">The same for people.</param>
    public ProcessSample? Add(ImmutableArray<ProcessReading> readings, TimeSpan now, DateTimeOffset at)
    {
        var leader = readings.FirstOrDefault(reading => reading.Pid == pid);
        if (leader.Pid != pid || (_leader is { } known && known != leader.StartedAt))
        {
            return null; // ended; or its number belongs to somebody else by now
        }

        _leader = leader.StartedAt;
        var before = _cpu;
        foreach (var reading in readings)
        {
            var key = (reading.Pid, reading.StartedAt);
            var grown = reading.Cpu - _last.GetValueOrDefault(key);
            _cpu += grown > TimeSpan.Zero ? grown : TimeSpan.Zero;
            _last[key] = reading.Cpu;
        }

        foreach (var gone in _last.Keys.Except(readings.Select(reading => (reading.Pid, reading.StartedAt))).ToArray())
        {
            _last.Remove(gone);
        }

        double? percent = _lastAt is { } last && now > last ? 100 * (_cpu - before).TotalSeconds / (now - last).TotalSeconds : null;
        _lastAt = now;
        return new ProcessSample
        {
            Backend = backend,
            Generation = generation,
            Pid = pid,
            At = at,
            CpuTime = _cpu,
            CpuPercent = percent,
            ResidentBytes = readings.Sum(reading => reading.ResidentBytes),
            AnonymousBytes = Sum(leader.AnonymousBytes, reading => reading.AnonymousBytes),
            FileBytes = Sum(leader.FileBytes, reading => reading.FileBytes),
            ReadBytes = Sum(leader.ReadBytes, reading => reading.ReadBytes),
            OpenFiles = (int?)Sum(leader.OpenFiles, reading => reading.OpenFiles),
            Processes = readings.Length,
            IsStopped = leader.IsStopped,
        };

        // What the system does not tell of the process itself is not told by a sum over its children either.
        long? Sum(long? ofLeader, Func<ProcessReading, long?> of) => ofLeader is null ? null : readings.Sum(of);
    }
}
