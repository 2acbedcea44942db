using System.Collections.Immutable;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>The last lines that a replica printed, over all its generations. Bounded in lines and in characters; the oldest go first.</summary>
/// <param name="maxLines">Lines that are kept.</param>
/// <param name="maxCharacters">Characters that are kept.</param>
/// <param name="also">Gets each line as well, such as a file; must not block.</param>
internal sealed class OutputRing(int maxLines = 2_000, int maxCharacters = 2 * 1024 * 1024, Action<int, string>? also = null)
{
    private readonly Lock _gate = new();
    private readonly Queue<(int Generation, string Line)> _lines = new();
    private long _characters;
    private long _written;
    private long _dropped;
    private TaskCompletionSource? _next;

    /// <summary>Lines written so far; grows while the child says something.</summary>
    public long Written => Interlocked.Read(ref _written);

    /// <summary>Lines that made room for newer ones.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    public void Add(int generation, string line)
    {
        TaskCompletionSource? next;
        lock (_gate)
        {
            _lines.Enqueue((generation, line));
            _characters += line.Length;
            _written++;
            while (_lines.Count > maxLines || (_characters > maxCharacters && _lines.Count > 1))
            {
                _characters -= _lines.Dequeue().Line.Length;
                _dropped++;
            }

            (next, _next) = (_next, null);
        }

        next?.SetResult();
        also?.Invoke(generation, line);
    }

    /// <summary>Lines from a place on, oldest first.</summary>
    /// <param name="from">A <see cref="LogPage.Next"/> of before; a negative number counts from the end.</param>
    /// <param name="most">Lines at once.</param>
    public LogPage Read(long from, int most)
    {
        lock (_gate)
        {
            var oldest = _written - _lines.Count;
            var begin = from < 0 ? Math.Max(oldest, _written + from) : Math.Min(from, _written);
            var missed = Math.Max(0, oldest - begin);
            begin += missed;
            ImmutableArray<string> lines = [.. _lines.Skip((int)(begin - oldest)).Take(most).Select(line => line.Line)];
            var next = begin + lines.Length;
            var more = next < _written ? Task.CompletedTask : (_next ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            return new(lines, next, missed, more);
        }
    }

    /// <summary>The last lines, oldest first; of one generation, or of all when null.</summary>
    public ImmutableArray<string> Tail(int lines, int? generation = null)
    {
        lock (_gate)
        {
            return [.. _lines.Where(line => generation is null || line.Generation == generation).Select(line => line.Line).TakeLast(lines)];
        }
    }
}
