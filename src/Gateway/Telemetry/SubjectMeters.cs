using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace LlmGateway.Gateway.Telemetry;

/// <summary>A set of instruments for each subject (a model, say), on a meter of its own: with the subject go its series.</summary>
/// <remarks>Nothing but the end of its meter takes a histogram's or a counter's series away; an observable instrument's leave by themselves.</remarks>
/// <typeparam name="T">The instruments of one subject.</typeparam>
/// <param name="meters">The gateway's own factory: it marks whose the meters are.</param>
/// <param name="name">Name of all these meters.</param>
/// <param name="create">Makes the instruments; the second argument is the subject.</param>
internal sealed class SubjectMeters<T>(IMeterFactory meters, string name, Func<Meter, string, T> create) : IDisposable
{
    private readonly ConcurrentDictionary<string, Lazy<(Meter Meter, T Instruments)>> _subjects = new(StringComparer.Ordinal);

    /// <summary>The subject's instruments, made when they are asked for first.</summary>
    public T For(string subject) => (_subjects.TryGetValue(subject, out var known) ? known : _subjects.GetOrAdd(subject, Make)).Value.Instruments;

    /// <summary>Ends the series of a subject. Whoever still holds its instruments records into nothing.</summary>
    public void Remove(string subject)
    {
        if (_subjects.TryRemove(subject, out var removed))
        {
            removed.Value.Meter.Dispose();
        }
    }

    /// <summary>Ends the series of all subjects but these.</summary>
    public void KeepOnly(Func<string, bool> isKnown)
    {
        foreach (var subject in _subjects.Keys.Where(subject => !isKnown(subject)))
        {
            Remove(subject);
        }
    }

    public void Dispose() => KeepOnly(_ => false);

    // Lazily: a meter that loses the race would stay published for ever.
    private Lazy<(Meter Meter, T Instruments)> Make(string subject) => new(() =>
    {
        // Not by the factory: the meters that it hands out can't be disposed one by one.
        var meter = new Meter(new MeterOptions(name) { Tags = [new("subject", subject)], Scope = meters });
        return (meter, create(meter, subject));
    });
}
