using System.Diagnostics;
using System.Text;
using LlmGateway.Simulator.Engine;
using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.Hosting;

/// <summary>The faults that act by themselves, not on a request: ends, CPU, memory, logs, children, leaked slots.</summary>
internal sealed class FaultEffects(FaultSwitch faults, SlotPool slots, ServerLog log, TimeProvider time)
{
    private static readonly TimeSpan Beat = TimeSpan.FromMilliseconds(50);

    private readonly List<byte[]> _memory = [];
    private readonly long _start = time.GetTimestamp();
    private int _burning;
    private bool _hasGrandchild;
    private bool _hasBadLog;
    private double _owed;

    /// <summary>Follows the switch until cancelled. Without a fault it only waits.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var changed = faults.Changed;
            var now = faults.Current;
            Apply(now);
            if (IsContinuous(now))
            {
                await Task.Delay(Beat, time, cancellationToken).ConfigureAwait(false);
            }
            else
            {
                await changed.WaitAsync(cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private static bool IsContinuous(Faults now) => now is { MemoryMibPerSecond: > 0 } or { LogFloodBytes: > 0 } or { ExitAfterMs: not null };

    private void Apply(Faults now)
    {
        if (now.ExitAt == ExitMoment.Now || time.GetElapsedTime(_start).TotalMilliseconds >= now.ExitAfterMs)
        {
            ProcessExit.ByFault(now);
        }

        slots.Reconcile(now.LeakSlots);
        Burn(now.BurnThreads);
        TakeMemory(now);
        if (now.LogFloodBytes > 0)
        {
            Flood(now.LogFloodBytes * Beat.TotalSeconds);
        }

        WriteBadLog(now.BadLog);
        if ((now.Grandchild || now.GrandchildSession) && !_hasGrandchild)
        {
            // Nothing is redirected, so the child inherits both outputs and keeps their pipes open.
            _hasGrandchild = true;
            using var child = now.GrandchildSession ? Process.Start("setsid", ["sleep", "600"]) : Process.Start("sleep", ["600"]);
            log.Info("sim", "grandchild", $"pid = {child.Id}");
        }
    }

    private void Burn(int threads)
    {
        while (_burning < threads)
        {
            var number = ++_burning;
            new Thread(() =>
            {
                while (Volatile.Read(ref _burning) >= number)
                {
                    Thread.SpinWait(10_000);
                }
            })
            { IsBackground = true }.Start();
        }

        Volatile.Write(ref _burning, threads);
    }

    private void TakeMemory(Faults now)
    {
        const int Block = 1024 * 1024;
        if (now.MemoryMibPerSecond == 0)
        {
            _memory.Clear();
            return;
        }

        _owed += now.MemoryMibPerSecond * Beat.TotalSeconds;
        for (; _owed >= 1 && _memory.Count < now.MemoryMaxMib; _owed--)
        {
            // Filled, or it would not be resident.
            var block = new byte[Block];
            Array.Fill(block, (byte)1);
            _memory.Add(block);
        }
    }

    private void Flood(double bytes)
    {
        var line = Encoding.ASCII.GetBytes($"0.00.000.000 I sim         flood: {new string('x', 200)}\n");
        var block = new byte[line.Length * 64];
        for (var i = 0; i < 64; i++)
        {
            line.CopyTo(block, i * line.Length);
        }

        for (; bytes > 0; bytes -= block.Length)
        {
            log.Raw(block);
        }
    }

    private void WriteBadLog(bool wanted)
    {
        if (wanted && !_hasBadLog)
        {
            log.Raw("I sim bad: NUL \0 inside\n"u8);
            log.Raw("I sim bad: \u001b[31mred\u001b[0m \u001b]0;title\u0007 \u202Eright to left\r\n"u8);
            log.Raw([.. "I sim bad: invalid "u8, 0xC3, 0x28, 0xFF, 0xFE, 0x80, (byte)'\n']);
            var line = new byte[10_000_000];
            Array.Fill(line, (byte)'L');
            line[^1] = (byte)'\n';
            log.Raw(line);
        }

        _hasBadLog = wanted;
    }
}
