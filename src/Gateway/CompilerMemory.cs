using System.Runtime;
using System.Runtime.InteropServices;

namespace LlmGateway.Gateway;

/// <summary>Gives back to the system what the just-in-time compiler has freed and the C library keeps for another time: some megabytes after each wave of methods that got warm.</summary>
/// <remarks>With glibc alone, whose <c>malloc_trim</c> it calls: half a millisecond, and only when something was compiled since. Elsewhere it does nothing.</remarks>
internal sealed class CompilerMemory : IDisposable
{
    internal static readonly TimeSpan Period = TimeSpan.FromSeconds(5);

    private static readonly MallocTrim? Trim = Find();

    private readonly Func<long> _compiled;
    private readonly Action _giveBack;
    private readonly ITimer? _timer;
    private long _seen;

    /// <param name="time">The clock of its looks.</param>
    public CompilerMemory(TimeProvider time)
        : this(time, static () => JitInfo.GetCompiledMethodCount(), Trim is { } trim ? () => trim(0) : null)
    {
    }

    /// <param name="time">The clock of its looks.</param>
    /// <param name="compiled">Methods compiled so far.</param>
    /// <param name="giveBack">Gives back what is free; null where nothing can.</param>
    internal CompilerMemory(TimeProvider time, Func<long> compiled, Action? giveBack)
    {
        (_compiled, _giveBack) = (compiled, giveBack ?? (static () => { }));
        _timer = giveBack is null ? null : time.CreateTimer(static memory => ((CompilerMemory)memory!).Look(), this, Period, Period);
    }

    /// <summary>True where the C library is glibc.</summary>
    internal static bool IsOffered => Trim is not null;

    public void Dispose() => _timer?.Dispose();

    private void Look()
    {
        var compiled = _compiled();
        if (Interlocked.Exchange(ref _seen, compiled) != compiled)
        {
            _giveBack();
        }
    }

    private static MallocTrim? Find() =>
        OperatingSystem.IsLinux() && NativeLibrary.TryLoad("libc.so.6", out var library) && NativeLibrary.TryGetExport(library, "malloc_trim", out var function)
            ? Marshal.GetDelegateForFunctionPointer<MallocTrim>(function)
            : null;

    private delegate int MallocTrim(nuint keep);
}
