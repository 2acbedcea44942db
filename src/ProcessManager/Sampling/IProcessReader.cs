using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Sampling;

/// <summary>One process at one moment.</summary>
/// <param name="Pid">Its number.</param>
/// <param name="StartedAt">With the number, names it for good; the unit is the reader's own.</param>
/// <param name="IsStopped">It is stopped or traced.</param>
/// <param name="Cpu">CPU time since its start.</param>
/// <param name="ResidentBytes">Resident memory.</param>
/// <param name="AnonymousBytes">The part that is its own.</param>
/// <param name="FileBytes">The part that is mapped from files.</param>
/// <param name="ReadBytes">Read from storage since its start.</param>
/// <param name="OpenFiles">Open descriptors.</param>
internal readonly record struct ProcessReading(
    int Pid, long StartedAt, bool IsStopped, TimeSpan Cpu, long ResidentBytes, long? AnonymousBytes, long? FileBytes, long? ReadBytes, int? OpenFiles);

/// <summary>What the system tells about processes. A process that ends while it is read is left out.</summary>
internal interface IProcessReader
{
    /// <summary>The living members of each process group. A group without any is left out.</summary>
    IReadOnlyDictionary<int, ImmutableArray<int>> Members(IReadOnlySet<int> groups);

    /// <summary>Null when there is no such process (any more).</summary>
    ProcessReading? Read(int pid);
}
