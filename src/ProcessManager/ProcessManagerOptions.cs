namespace LlmGateway.ProcessManager;

/// <summary>What all replica sets of a gateway share.</summary>
public sealed class ProcessManagerOptions
{
    /// <summary>Processes that may start at the same time; the others wait in line. <value>1 to 256; default 2.</value></summary>
    public int StartPermits { get; set; } = 2;

    /// <summary>How often processes, machine and GPUs are looked at. <value>100 ms to 1 min; default 2 s.</value></summary>
    public TimeSpan SamplePeriod { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// Folder that outlives a run, taken by <see cref="Orphans.StateDirectory"/>: what is launched is written down there, what an earlier
    /// gateway left behind is ended before anything is launched, and output goes to files in its folder <c>logs</c>. <value>Default null: nothing of it.</value>
    /// </summary>
    public string? StateDirectory { get; set; }

    /// <summary>Folder in which the folder for Unix sockets is made. <value>Default null: the system's temporary one.</value></summary>
    public string? RuntimeDirectory { get; set; }
}
