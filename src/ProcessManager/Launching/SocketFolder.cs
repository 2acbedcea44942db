using System.Text;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>Unix sockets in a folder that only we may enter. Made when first needed, removed with what is left in it.</summary>
internal sealed class SocketFolder(string? parent) : IDisposable
{
    /// <summary>The kernel's limit, without the closing zero.</summary>
    public const int MaxPathBytes = 107;

    private readonly Lock _gate = new();
    private string? _path;
    private int _next;

    /// <summary>A path that was never used before. A number and not the model's name: that could be too long, or hold a slash.</summary>
    /// <exception cref="IOException">The folder can't be made, or its path is too long.</exception>
    public string Next()
    {
        lock (_gate)
        {
            _path ??= Create(parent);
            var path = Path.Combine(_path, $"{_next++}.sock"); // llama-server takes a host for a socket by this ending
            return Encoding.UTF8.GetByteCount(path) <= MaxPathBytes
                ? path
                : throw new IOException($"The socket path {path} is longer than the {MaxPathBytes} bytes that the kernel allows. Set a shorter runtime folder (TMPDIR).");
        }
    }

    /// <summary>llama-server leaves its socket behind, and refuses to start over one.</summary>
    public static void Remove(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Its name is never used again.
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            if (_path is null)
            {
                return;
            }

            try
            {
                Directory.Delete(_path, recursive: true);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // A folder of a few empty sockets in a temporary place.
            }

            _path = null;
        }
    }

    private static string Create(string? parent)
    {
        if (parent is null)
        {
            return Directory.CreateTempSubdirectory("llmgw-").FullName; // mode 0700
        }

        var path = Path.Combine(parent, $"llmgw-{Environment.ProcessId}-{Guid.NewGuid().ToString("N")[..6]}");
        return OperatingSystem.IsWindows()
            ? Directory.CreateDirectory(path).FullName
            : Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute).FullName;
    }
}
