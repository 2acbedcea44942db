using System.Runtime.InteropServices;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests;

public sealed class CompilerMemoryTests
{
    private readonly FakeTimeProvider _time = new();
    private long _compiled = 100;
    private int _given;

    [Fact]
    public void Look_CompiledSince_GivesBackOnceForEachWave()
    {
        using var memory = new CompilerMemory(_time, () => _compiled, () => _given++);
        Assert.Equal(0, _given);

        _time.Advance(CompilerMemory.Period);
        Assert.Equal(1, _given);

        _time.Advance(20 * CompilerMemory.Period);
        Assert.Equal(1, _given); // warm: nothing is compiled, nothing is asked

        _compiled++;
        _time.Advance(CompilerMemory.Period);
        Assert.Equal(2, _given);
    }

    [Fact]
    public void Dispose_LooksNoMore()
    {
        new CompilerMemory(_time, () => _compiled, () => _given++).Dispose();
        _time.Advance(2 * CompilerMemory.Period);
        Assert.Equal(0, _given);
    }

    [Fact]
    public void Look_FreedButKeptByTheLibrary_IsTheSystemsAgain()
    {
        Assert.SkipUnless(CompilerMemory.IsOffered, "No glibc here.");
        const int Block = 64 * 1024;
        var (blocks, touched) = (new nint[2048], new byte[Block]);
        for (var i = 0; i < blocks.Length; i++)
        {
            blocks[i] = Marshal.AllocHGlobal(Block);
            Marshal.Copy(touched, 0, blocks[i], Block);
        }

        // The last one stays: what is freed below it lies in the midst of the heap, and is kept.
        var before = Resident();
        Array.ForEach(blocks[..^1], Marshal.FreeHGlobal);
        using (new CompilerMemory(_time))
        {
            _time.Advance(CompilerMemory.Period);
        }

        Assert.InRange(Resident(), 0, before - (blocks.Length / 2 * Block));
        Marshal.FreeHGlobal(blocks[^1]);
    }

    private static long Resident() => long.Parse(File.ReadAllText("/proc/self/statm").Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture) * Environment.SystemPageSize;
}
