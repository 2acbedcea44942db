using System.Net.NetworkInformation;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>Ports of our own, handed out one at a time.</summary>
/// <remarks>
/// A port that came back rests for a minute: late connections of its last server's clients must not reach the next one. When nothing
/// else is left, the one that has rested longest goes first. A port on which somebody listens is passed over.
/// </remarks>
internal sealed class PortPool(TimeProvider time, Func<int, bool>? isTaken = null)
{
    /// <summary>How long a port rests.</summary>
    public static readonly TimeSpan CoolDown = TimeSpan.FromSeconds(60);

    private readonly Lock _gate = new();
    private readonly HashSet<int> _rented = [];
    private readonly Dictionary<int, long> _returned = [];
    private readonly Func<int, bool> _isTaken = isTaken ?? SomebodyListens;

    /// <summary>A free port from the range, both ends included, or null when none is.</summary>
    public int? Rent(int first, int last)
    {
        lock (_gate)
        {
            var free = Enumerable.Range(first, Math.Max(0, last - first + 1)).Where(port => !_rented.Contains(port)).ToArray();
            foreach (var port in free.Where(IsRested_NeedsLock).Concat(free.Where(port => !IsRested_NeedsLock(port)).OrderBy(port => _returned[port])))
            {
                if (!_isTaken(port))
                {
                    _rented.Add(port);
                    return port;
                }
            }

            return null;
        }
    }

    public void Return(int port)
    {
        lock (_gate)
        {
            if (_rented.Remove(port))
            {
                _returned[port] = time.GetTimestamp();
            }
        }
    }

    private bool IsRested_NeedsLock(int port) => !_returned.TryGetValue(port, out var at) || time.GetElapsedTime(at) >= CoolDown;

    private static bool SomebodyListens(int port) =>
        IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Any(listener => listener.Port == port);
}
