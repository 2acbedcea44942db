namespace LlmGateway.Gateway.Operations.History;

/// <summary>A quarter of an hour in steps of ten seconds: what is older makes room for what is new. Not thread-safe.</summary>
internal sealed class TimeRing<T>
    where T : struct
{
    /// <summary>Steps that are kept.</summary>
    public const int Steps = 90;

    /// <summary>How long a step is.</summary>
    public static readonly TimeSpan Step = TimeSpan.FromSeconds(10);

    private readonly T[] _steps = new T[Steps];
    private long _last = -1;

    /// <summary>The step of a moment, counted from the epoch.</summary>
    public static long StepOf(DateTimeOffset at) => at.ToUnixTimeMilliseconds() / (long)Step.TotalMilliseconds;

    /// <summary>Changes the value of a step; one that is no longer kept, or lies in the future, is left alone.</summary>
    public void Change<TBy>(long step, long now, TBy by, Func<T, TBy, T> change)
    {
        MoveTo(now);
        if (step > _last - Steps && step <= _last)
        {
            ref var value = ref _steps[step % Steps];
            value = change(value, by);
        }
    }

    /// <summary>The values up to and with <paramref name="now"/>'s step, oldest first.</summary>
    public T[] Read(long now)
    {
        MoveTo(now);
        var values = new T[Steps];
        for (var i = 0; i < Steps; i++)
        {
            var step = _last - Steps + 1 + i;
            values[i] = step < 0 ? default : _steps[step % Steps];
        }

        return values;
    }

    private void MoveTo(long now)
    {
        if (now <= _last)
        {
            return;
        }

        for (var step = Math.Max(_last + 1, now - Steps + 1); step <= now; step++)
        {
            _steps[step % Steps] = default;
        }

        _last = now;
    }
}
