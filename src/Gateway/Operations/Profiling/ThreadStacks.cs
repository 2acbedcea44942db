using System.Collections.Immutable;
using System.Globalization;
using Microsoft.Diagnostics.Tracing.Etlx;
using Microsoft.Diagnostics.Tracing.Parsers.Clr;
using Microsoft.Diagnostics.Tracing.Stacks;

namespace LlmGateway.Gateway.Operations.Profiling;

/// <summary>Where one thread stood, the innermost frame first.</summary>
internal sealed record ThreadStack(int ThreadId, ImmutableArray<string> Frames);

/// <summary>Waits for locks at one place.</summary>
internal sealed record ContendedPlace(long Count, double Milliseconds, ImmutableArray<string> Frames);

/// <summary>Reads stacks out of recordings.</summary>
internal static class ThreadStacks
{
    private const int MostFrames = 200;
    private const int MostPlaces = 50;
    private const string ThreadFrame = "Thread (";

    /// <summary>The first sample of each thread.</summary>
    public static ImmutableArray<ThreadStack> FirstOfEach(MutableTraceEventStackSource stacks)
    {
        var threads = new SortedDictionary<int, ThreadStack>();
        stacks.ForEach(sample =>
        {
            var frames = new List<string>();
            var thread = -1;
            for (var index = sample.StackIndex; index != StackSourceCallStackIndex.Invalid && frames.Count < MostFrames; index = stacks.GetCallerIndex(index))
            {
                var name = stacks.GetFrameName(stacks.GetFrameIndex(index), false);
                if (name.StartsWith(ThreadFrame, StringComparison.Ordinal))
                {
                    _ = int.TryParse(name.AsSpan(ThreadFrame.Length).TrimEnd(')'), NumberStyles.None, CultureInfo.InvariantCulture, out thread);
                    break;
                }

                // What the computer of thread times puts on top of each stack.
                if (name is not ("CPU_TIME" or "UNMANAGED_CODE_TIME"))
                {
                    frames.Add(name);
                }
            }

            if (thread >= 0 && frames.Count > 0)
            {
                threads.TryAdd(thread, new ThreadStack(thread, [.. frames]));
            }
        });
        return [.. threads.Values];
    }

    /// <summary>Waits for locks by place, the longest first.</summary>
    public static ImmutableArray<ContendedPlace> Contended(TraceLog log)
    {
        var places = new Dictionary<string, (long Count, double Milliseconds, ImmutableArray<string> Frames)>(StringComparer.Ordinal);
        var begun = new Dictionary<int, ImmutableArray<string>>();
        foreach (var data in log.Events)
        {
            if (data is ContentionStartTraceData)
            {
                begun[data.ThreadID] = Frames(data.CallStack());
            }
            else if (data is ContentionStopTraceData stop && begun.Remove(data.ThreadID, out var frames))
            {
                var key = string.Join('\n', frames);
                var (count, milliseconds, _) = places.GetValueOrDefault(key);
                places[key] = (count + 1, milliseconds + (stop.DurationNs / 1e6), frames);
            }
        }

        return [.. places.Values.OrderByDescending(place => place.Milliseconds).Take(MostPlaces).Select(place => new ContendedPlace(place.Count, Math.Round(place.Milliseconds, 3), place.Frames))];
    }

    private static ImmutableArray<string> Frames(TraceCallStack? stack)
    {
        var frames = ImmutableArray.CreateBuilder<string>();
        for (; stack is not null && frames.Count < MostFrames; stack = stack.Caller)
        {
            frames.Add($"{stack.CodeAddress.ModuleName}!{stack.CodeAddress.FullMethodName}");
        }

        return frames.ToImmutable();
    }
}
