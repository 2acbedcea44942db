using System.Net;
using System.Net.Sockets;

namespace LlmGateway.Gateway.Keys;

/// <summary>Damps the guessing of keys: a source whose attempts fail too often is told to wait. A right key always passes, so nobody can lock others out.</summary>
/// <remarks>
/// A leaky bucket per source, kept as the one time at which it will be empty again. A source is an IPv4 address or an IPv6 network of 64 bits. The table
/// is bounded; what finds no room in it shares one bucket.
/// </remarks>
internal sealed class FailedAttempts(TimeProvider time)
{
    /// <summary>Failures in a row before a source must wait.</summary>
    public const int Burst = 60;

    /// <summary>Sources that are told apart.</summary>
    public const int MostSources = 4096;

    private const int NetworkBytes = 8;

    /// <summary>Time that makes up for one failure.</summary>
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan Full = Burst * Interval;

    private readonly Lock _lock = new();
    private readonly long _startedAt = time.GetTimestamp();
    private readonly Dictionary<IPAddress, (TimeSpan EmptyAt, bool IsTold)> _buckets = [];

    /// <summary>Counts a failed attempt.</summary>
    /// <returns>Null; or how long the source should wait, and whether it is told so for the first time since its bucket was half empty.</returns>
    public (TimeSpan Wait, bool IsFirst)? Count(IPAddress? source)
    {
        var now = time.GetElapsedTime(_startedAt);
        lock (_lock)
        {
            var bucket = Bucket_NeedsLock(Network(source ?? IPAddress.None), now);
            var (emptyAt, isTold) = _buckets.GetValueOrDefault(bucket);
            var level = emptyAt > now ? emptyAt - now : TimeSpan.Zero;
            if (level + Interval <= Full)
            {
                _buckets[bucket] = (now + level + Interval, isTold && level > Full / 2);
                return null;
            }

            _buckets[bucket] = (emptyAt, true);
            return (level + Interval - Full, !isTold);
        }
    }

    private IPAddress Bucket_NeedsLock(IPAddress network, TimeSpan now)
    {
        if (_buckets.Count < MostSources || _buckets.ContainsKey(network))
        {
            return network;
        }

        foreach (var (other, known) in _buckets)
        {
            if (known.EmptyAt <= now)
            {
                // A dictionary may lose entries while it is walked.
                _buckets.Remove(other);
            }
        }

        return _buckets.Count < MostSources ? network : IPAddress.None;
    }

    private static IPAddress Network(IPAddress source)
    {
        if (source.IsIPv4MappedToIPv6)
        {
            return source.MapToIPv4();
        }

        if (source.AddressFamily != AddressFamily.InterNetworkV6)
        {
            return source;
        }

        var bytes = source.GetAddressBytes();
        bytes.AsSpan(NetworkBytes).Clear();
        return new IPAddress(bytes);
    }
}
