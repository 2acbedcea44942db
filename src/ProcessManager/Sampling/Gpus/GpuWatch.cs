using System.Collections.Immutable;
using Microsoft.Extensions.Logging;

namespace LlmGateway.ProcessManager.Sampling.Gpus;

/// <summary>Asks about GPUs on a thread of its own, and forgets what it knew when no answer comes.</summary>
/// <remarks>
/// A driver whose device fell off the bus can keep a caller in the kernel for ever. Then this thread is lost and nothing else: the last
/// finding is dropped after <see cref="StaleAfter"/>, and the series go with it.
/// </remarks>
internal sealed class GpuWatch : IDisposable
{
    /// <summary>After this long without an answer nothing is known.</summary>
    public static readonly TimeSpan StaleAfter = TimeSpan.FromSeconds(30);

    private readonly Func<IGpuReader?> _find;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ManualResetEventSlim _over = new();
    private Finding _last = new([], 0);

    /// <param name="find">Looks for a way to ask; called on the thread, since loading a driver's library may wait, too. Null: there is no GPU.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Hears of a driver that fails.</param>
    public GpuWatch(Func<IGpuReader?> find, TimeProvider time, ILogger logger)
    {
        (_find, _time, _logger) = (find, time, logger);
        new Thread(Run, maxStackSize: 512 * 1024) { IsBackground = true, Name = "gpu watch" }.Start();
    }

    /// <summary>What was last found; empty when that is too long ago.</summary>
    public ImmutableArray<GpuSample> Current =>
        Volatile.Read(ref _last) is { Gpus.IsEmpty: false } last && _time.GetElapsedTime(last.At) <= StaleAfter ? last.Gpus : [];

    public void Dispose() => _over.Set(); // the thread disposes what it uses when it has left

    private void Run()
    {
        IGpuReader? reader = null;
        try
        {
            reader = _find();
            while (reader is not null && !_over.IsSet)
            {
                Volatile.Write(ref _last, new(reader.Read(), _time.GetTimestamp()));
                _over.Wait(reader.Period);
            }
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Log.GpuUnknown(_logger, e.Message);
        }
        finally
        {
            (reader as IDisposable)?.Dispose();
        }
    }

    private sealed record Finding(ImmutableArray<GpuSample> Gpus, long At);
}
