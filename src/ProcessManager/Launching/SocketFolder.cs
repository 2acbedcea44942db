using System.Globalization;
using System.Text;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>Unix sockets in a folder that only we may enter.</summary>
/// <remarks>
/// In a state directory the folder stays from run to run, and what a killed gateway left in it is cleared when its name comes round. Else, or
/// where the path would be too long for a socket's name, it is a temporary one, removed with what is left in it.
/// </remarks>
/// <param name="lasting">The folder that stays; null for a temporary one.</param>
/// <param name="parent">Where a temporary folder is made; null: the system's place.</param>
internal sealed class SocketFolder(string? lasting, string? parent) : IDisposable
{
    /// <summary>The kernel's limit, without the closing zero.</summary>
    public const int MaxPathBytes = 107;

    private const int MostInTheWay = 10_000;
    private const UnixFileMode OwnerAlone = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private readonly Lock _gate = new();
    private string? _path;
    private bool _isTemporary;
    private int _next;

    /// <summary>A path where nothing is. A number and not the model's name: that could be too long, or hold a slash.</summary>
    /// <exception cref="IOException">The folder can't be made, or its path is too long.</exception>
    public string Next()
    {
        lock (_gate)
        {
            _path ??= Create_NeedsLock();
            for (var i = 0; i < MostInTheWay; i++)
            {
                var path = NameIn(_path, _next++);
                if (Encoding.UTF8.GetByteCount(path) > MaxPathBytes)
                {
                    throw new IOException($"The socket path {path} is longer than the {MaxPathBytes} bytes that the kernel allows. Set a shorter runtime folder (TMPDIR).");
                }

                if (SocketFile.TryClear(path))
                {
                    return path;
                }
            }

            throw new IOException($"The folder {_path} is full of what is not ours. Empty it.");
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            if (_path is null || !_isTemporary)
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

    // llama-server takes a host for a socket by this ending.
    private static string NameIn(string folder, int number) => Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{number}.sock"));

    private string Create_NeedsLock()
    {
        if (lasting is not null && Encoding.UTF8.GetByteCount(NameIn(lasting, int.MaxValue)) <= MaxPathBytes)
        {
            Create(lasting);
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(lasting, OwnerAlone); // it may have been there before
            }

            return lasting;
        }

        _isTemporary = true;
        return parent is null
            ? Directory.CreateTempSubdirectory("llmgw-").FullName // mode 0700
            : Create(Path.Combine(parent, $"llmgw-{Environment.ProcessId}-{Guid.NewGuid().ToString("N")[..6]}"));
    }

    private static string Create(string path) =>
        OperatingSystem.IsWindows() ? Directory.CreateDirectory(path).FullName : Directory.CreateDirectory(path, OwnerAlone).FullName;
}
