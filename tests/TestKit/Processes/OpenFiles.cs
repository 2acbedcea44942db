namespace LlmGateway.TestKit.Processes;

/// <summary>The file descriptors that a process holds (Linux).</summary>
public static class OpenFiles
{
    /// <summary>How many there are, without assemblies: the runtime opens one when its code is first needed, and keeps it open.</summary>
    /// <param name="process">A process id, or <c>self</c>.</param>
    public static int Count(string process) => new DirectoryInfo($"/proc/{process}/fd").EnumerateFileSystemInfos()
        .Count(one => Path.GetExtension(one.LinkTarget) is not (".dll" or ".pdb"));
}
