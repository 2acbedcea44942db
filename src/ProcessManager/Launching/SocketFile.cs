using System.Buffers.Binary;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>A place for a Unix socket, and what lies there already.</summary>
internal static partial class SocketFile
{
    private const int CurrentFolder = -100;
    private const int NoFollow = 0x100;
    private const uint TypeOnly = 1;
    private const int ModeAt = 28;
    private const int TypeMask = 0xF000;
    private const int SocketType = 0xC000;

    /// <summary>Makes room for a new socket: what a server left behind goes. False when something else is there, or somebody listens.</summary>
    public static bool TryClear(string path)
    {
        if (!Path.Exists(path))
        {
            return true;
        }

        if (!IsSocket(path) || SomebodyListens(path))
        {
            return false;
        }

        Remove(path);
        return !Path.Exists(path);
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
            // It is passed over from now on.
        }
    }

    internal static bool IsSocket(string path)
    {
        if (!OperatingSystem.IsLinux())
        {
            return !Directory.Exists(path) && new FileInfo(path) is { Length: 0 };
        }

        Span<byte> status = stackalloc byte[256];
        return Status(CurrentFolder, path, NoFollow, TypeOnly, status) == 0
            && (BinaryPrimitives.ReadUInt16LittleEndian(status[ModeAt..]) & TypeMask) == SocketType;
    }

    private static bool SomebodyListens(string path)
    {
        using var socket = new Socket(AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(path));
            return true;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode is not SocketError.ConnectionRefused; // a full backlog is somebody, too
        }
    }

    /// <summary><c>statx</c>, whose answer has one layout on every architecture.</summary>
    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Status(int folder, string path, int flags, uint mask, Span<byte> answer);
}
