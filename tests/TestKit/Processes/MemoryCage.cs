using System.Globalization;

namespace LlmGateway.TestKit.Processes;

/// <summary>A control group with a memory limit, where the machine lets us make one.</summary>
public sealed class MemoryCage : IDisposable
{
    private readonly string _folder;

    private MemoryCage(string folder) => _folder = folder;

    /// <summary>Null where we may not make one.</summary>
    public static MemoryCage? TryMake(long bytes)
    {
        try
        {
            var line = File.ReadAllLines("/proc/self/cgroup").Select(line => line.Split(':', 3)).ToList();
            var (root, own, limit) = line.Find(parts => parts[1] == "memory") is { } first
                ? ("/sys/fs/cgroup/memory", first[2], "memory.limit_in_bytes")
                : ("/sys/fs/cgroup", line.Single(parts => parts[0] == "0")[2], "memory.max");
            var folder = Path.Join(root, own.TrimStart('/'), $"llmgw-test-{Environment.ProcessId}-{bytes}");
            Directory.CreateDirectory(folder);
            var cage = new MemoryCage(folder);
            try
            {
                File.WriteAllText(Path.Join(folder, limit), bytes.ToString(CultureInfo.InvariantCulture));
                return cage;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                cage.Dispose();
                return null;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidOperationException)
        {
            return null;
        }
    }

    /// <summary>A process that writes its id here moves in, with what it takes from then on.</summary>
    public string Members => Path.Join(_folder, "cgroup.procs");

    public void Dispose()
    {
        try
        {
            Directory.Delete(_folder); // a control group goes by rmdir, and only when nobody is in it
        }
        catch (IOException)
        {
            // Its process is still ending; the empty group does no harm.
        }
    }
}
