using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>All that a launch needs.</summary>
/// <param name="Name">Of the replica, for thread names.</param>
/// <param name="Program">Full path.</param>
/// <param name="Arguments">Passed one by one.</param>
/// <param name="Environment">All of it; nothing else is inherited.</param>
/// <param name="WorkingDirectory">Null is our own.</param>
/// <param name="OnLine">Takes the output line by line; called on two threads; must not block.</param>
internal sealed record LaunchRequest(
    string Name, string Program, ImmutableArray<string> Arguments, IReadOnlyDictionary<string, string> Environment, string? WorkingDirectory, Action<string> OnLine)
{
    /// <summary>Which start of the replica it is.</summary>
    public int Generation { get; init; }

    /// <summary>What stands before the program and becomes it; nothing by default.</summary>
    public ImmutableArray<string> Before { get; init; } = [];

    /// <summary>Where it will listen.</summary>
    public string? Address { get; init; }
}

/// <summary>Makes child processes.</summary>
internal interface ILauncher
{
    /// <summary>Launches; throws <see cref="System.ComponentModel.Win32Exception"/> or <see cref="IOException"/> when the system refuses.</summary>
    Task<IChildProcess> LaunchAsync(LaunchRequest request, CancellationToken cancellationToken);
}

/// <summary>A process that we launched, with all that descends from it in its group.</summary>
internal interface IChildProcess : IDisposable
{
    int Pid { get; }

    /// <summary>Completes with the exit code (128 + n for signal n) as soon as the process itself has ended, whoever else holds its pipes.</summary>
    Task<int> Ended { get; }

    /// <summary>SIGTERM to the group, and SIGCONT: a stopped process does not hear the first without the second.</summary>
    void Terminate();

    /// <summary>SIGKILL to the group.</summary>
    void Kill();

    /// <summary>SIGCONT to the group.</summary>
    void Continue();

    /// <summary>After <see cref="Ended"/>: kills what is left of the group, waits until nothing of it lives, and reads the last output, at most 500 ms.</summary>
    Task CleanUpAsync(CancellationToken cancellationToken);

    /// <summary>Sum over the group; zeros where the system does not tell.</summary>
    ProgressSample Sample();

    /// <summary>Whether it runs, and what it has used: of the process itself (cheap), or of its whole group.</summary>
    ProcessLook Look(bool wholeGroup);
}
