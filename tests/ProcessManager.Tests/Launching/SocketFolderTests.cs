using System.Net.Sockets;
using LlmGateway.ProcessManager.Launching;

namespace LlmGateway.ProcessManager.Tests.Launching;

/// <summary>Fault 21 of the catalogue: what lies where a Unix socket should be.</summary>
public sealed class SocketFolderTests : IDisposable
{
    private readonly string _state = Directory.CreateTempSubdirectory("llmgw-s-").FullName;

    private string Lasting => Path.Combine(_state, "sockets");

    public void Dispose() => Directory.Delete(_state, recursive: true);

    [Fact]
    public void Next_LastingFolder_IsItsOwnersAloneAndStays()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "modes are Unix's");
        Directory.CreateDirectory(Lasting);
        string path;
        using (var folder = new SocketFolder(Lasting, null))
        {
            path = folder.Next();
        }

        Assert.Equal(Path.Combine(Lasting, "0.sock"), path);
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(Lasting));
        }
    }

    [Fact]
    public void Fault21_StaleSocket_IsCleared()
    {
        var path = Path.Combine(Directory.CreateDirectory(Lasting).FullName, "0.sock");
        Listen(path).Dispose();
        File.WriteAllText(path + ".seen", ""); // .NET removes its own; a killed server does not
        using (var bound = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            bound.Bind(new UnixDomainSocketEndPoint(path)); // bound and not listening: as refused as a dead one's
            Assert.True(SocketFile.IsSocket(path));
            using var folder = new SocketFolder(Lasting, null);
            Assert.Equal(path, folder.Next());
            Assert.False(Path.Exists(path));
        }
    }

    [Fact]
    public void Fault21_SomebodyListensOrItIsNoSocket_IsLeftAloneAndPassedOver()
    {
        Directory.CreateDirectory(Lasting);
        using var living = Listen(Path.Combine(Lasting, "0.sock"));
        File.WriteAllText(Path.Combine(Lasting, "1.sock"), "somebody's notes");
        Directory.CreateDirectory(Path.Combine(Lasting, "2.sock"));

        using var folder = new SocketFolder(Lasting, null);

        Assert.Equal(Path.Combine(Lasting, "3.sock"), folder.Next());
        Assert.Equal("somebody's notes", File.ReadAllText(Path.Combine(Lasting, "1.sock")));
        Assert.True(SocketFile.IsSocket(Path.Combine(Lasting, "0.sock")));
    }

    [Fact]
    public void Next_LastingPathTooLong_IsATemporaryFolderThatGoes()
    {
        string path;
        using (var folder = new SocketFolder(Path.Combine(_state, new string('x', 120)), null))
        {
            path = folder.Next();
            Assert.NotEqual(path, folder.Next());
            Assert.StartsWith(Path.GetTempPath(), path, StringComparison.Ordinal);
        }

        Assert.False(Directory.Exists(Path.GetDirectoryName(path)));
    }

    [Fact]
    public void Next_TemporaryPathTooLong_SaysSo()
    {
        using var folder = new SocketFolder(null, Directory.CreateDirectory(Path.Combine(_state, new string('x', 120))).FullName);
        Assert.Contains("longer than the 107 bytes", Assert.Throws<IOException>(folder.Next).Message, StringComparison.Ordinal);
    }

    private static Socket Listen(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        socket.Listen();
        return socket;
    }
}
