using LlmGateway.ProcessManager.Sampling;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace LlmGateway.Gateway;

/// <summary>Keeps file descriptors back from clients, so that what runs goes on when they open more connections than the process may have.</summary>
/// <remarks>
/// The kernel gives out the lowest number that is free: the number of a new connection tells how full the table is. Without a descriptor neither a
/// backend nor a process can be reached, and the runtime ends the whole process when it can't start a thread. The limit is asked for each time, since it may
/// be changed while we run (<c>prlimit</c>).
/// </remarks>
internal sealed class DescriptorReserve(TimeProvider time, ILogger logger)
{
    private const int Least = 16;
    private const int Most = 512;
    private static readonly TimeSpan LogPeriod = TimeSpan.FromMinutes(1);
    private long _toldAt = -1;

    /// <summary>Descriptors that clients don't get: a quarter of all, within bounds.</summary>
    public static int Of(long limit) => (int)Math.Clamp(limit / 4, Least, Most);

    /// <summary>Hands the connection on, or closes it at once.</summary>
    public Task OnConnectionAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        if (connection.Features.Get<IConnectionSocketFeature>()?.Socket.Handle is not { } number || DescriptorLimit.Current is not { } limit || number < limit - Of(limit))
        {
            return next(connection);
        }

        Tell(limit);
        connection.Abort();
        return Task.CompletedTask;
    }

    private void Tell(long limit)
    {
        var (told, now) = (Interlocked.Read(ref _toldAt), time.GetTimestamp());
        if ((told < 0 || time.GetElapsedTime(told, now) > LogPeriod) && Interlocked.CompareExchange(ref _toldAt, now, told) == told)
        {
            Log.DescriptorsShort(logger, limit, Of(limit));
        }
    }
}
