namespace LlmGateway.ProcessManager.Orphans;

/// <summary>The processes of this system, as far as it takes to know one again and to end it.</summary>
internal interface ISystemProcesses
{
    /// <summary>Names this run of the machine; empty where start times name it as well.</summary>
    string BootId { get; }

    /// <summary>When the process that has this number now was started; null when none has, or when it has ended.</summary>
    long? StartedAt(int pid);

    /// <summary>Its arguments, each with a zero behind it; null where the system does not tell them.</summary>
    byte[]? CommandLine(int pid);

    /// <summary>Living processes whose environment has this entry (<c>NAME=value</c>), whoever their parent is; none where the system does not tell.</summary>
    IEnumerable<int> WithEnvironment(string entry);

    /// <summary>Ends the process that was started then, and the group that it leads, at once. Does nothing when the number belongs to another one by now.</summary>
    void Kill(int pid, long startedAt);
}
