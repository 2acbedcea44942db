using System.Globalization;

namespace LlmGateway.ProcessManager.Orphans;

/// <summary>The folder of what outlives a run, held by one gateway at a time.</summary>
/// <remarks>
/// Two gateways in one folder would end each other's processes as orphans. The lock is the operating system's and goes with the process,
/// however that ends; a file that is left behind holds nobody up.
/// </remarks>
public sealed class StateDirectory : IDisposable
{
    private const string LockName = "gateway.lock";
    private readonly FileStream _lock;

    private StateDirectory(string path, FileStream held) => (Path, _lock) = (path, held);

    /// <summary>The folder's full path.</summary>
    public string Path { get; }

    /// <summary>Makes the folder where it is missing, for its owner alone, and takes it.</summary>
    /// <exception cref="IOException">Another gateway has it, or it can't be made or written to; the message says which.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be written to.</exception>
    public static StateDirectory Take(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var full = System.IO.Path.GetFullPath(path);
        if (!Directory.Exists(full))
        {
            _ = OperatingSystem.IsWindows()
                ? Directory.CreateDirectory(full)
                : Directory.CreateDirectory(full, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        var file = System.IO.Path.Combine(full, LockName);
        FileStream held;
        try
        {
            held = new FileStream(file, PrivateFile.Options(FileMode.OpenOrCreate));
        }
        catch (IOException e) when (File.Exists(file))
        {
            throw new IOException($"another gateway ({Owner(file)}) uses {full}: stop it, or give this one a state directory of its own", e);
        }

        held.SetLength(0);
        held.Write(System.Text.Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture)));
        held.Flush();
        return new(full, held);
    }

    /// <inheritdoc/>
    public void Dispose() => _lock.Dispose(); // the file stays: removing it could take a lock away that the next one has just got

    private static string Owner(string file)
    {
        try
        {
            using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using var reader = new StreamReader(stream);
            return int.TryParse(reader.ReadToEnd(), NumberStyles.None, CultureInfo.InvariantCulture, out var pid) ? $"pid {pid}" : "of unknown pid";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "of unknown pid"; // the lock keeps readers out as well
        }
    }
}
