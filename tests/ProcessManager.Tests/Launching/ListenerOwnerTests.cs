using System.Net;
using System.Net.Sockets;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Tests.Fakes;

namespace LlmGateway.ProcessManager.Tests.Launching;

public sealed class ListenerOwnerTests
{
    private const string Tables = """
          sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 0100007F:46B4 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0000000000000000 100 0 0 10 0
           1: 00000000:46B4 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 112 1 0000000000000000 100 0 0 10 0
           2: 0100007F:46B4 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  1000        0 113 1 0000000000000000 20 4 30 10 -1
           3: 0200A8C0:46B4 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 114 1 0000000000000000 100 0 0 10 0
           4: 0100007F:46B5 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 115 1 0000000000000000 100 0 0 10 0
          sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 00000000000000000000000000000000:46B4 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 116 1 0 100 0 0 10 0
           1: 00000000000000000000000001000000:46B4 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 117 1 0 100 0 0 10 0
        """;

    [Fact]
    public void Fault20_ListenersOn_KernelTables_FindsThoseThatTakeLoopbackConnections() =>
        Assert.Equal([111, 112, 116], ListenerOwner.ListenersOn(Tables, 0x46B4));

    [Fact]
    public void Of_RealListener_TellsWhoseItIs()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Linux tells who listens");
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var address = BackendAddress.Tcp("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port);
        var ourGroup = ProcStat.Parse(File.ReadAllText("/proc/self/stat"))!.Value.Group;

        Assert.Equal(ListenerProof.Ours, ListenerOwner.Of(address, ourGroup));
        Assert.Equal(ListenerProof.Stranger, ListenerOwner.Of(address, int.MaxValue));
        Assert.Equal(ListenerProof.Nobody, ListenerOwner.Of(BackendAddress.Tcp("127.0.0.1", ScriptServer.Ports().First), ourGroup));
        Assert.Equal(ListenerProof.Unknown, ListenerOwner.Of(BackendAddress.Unix("/x.sock"), ourGroup));
    }

    [Theory]
    [InlineData("7 (a b) c) S 1 7 7 0 -1 4194304 10 0 0 0 3 4 0 0 20 0 1 0 555 1000 99 18446744073709551615", 7, 7, 7L, 555L, 99L)]
    public void ProcStat_NameWithSpacesAndParentheses_IsRead(string line, int pid, int group, long cpu, long start, long resident) =>
        Assert.Equal(new ProcStat(pid, 'S', group, cpu, start, resident), ProcStat.Parse(line));

    [Theory]
    [InlineData("")]
    [InlineData("7 (x) S 1")]
    [InlineData("x (y) S 1 7 7 0 -1 4194304 10 0 0 0 3 4 0 0 20 0 1 0 555 1000 99 1")]
    public void ProcStat_SomethingElse_IsNull(string line) => Assert.Null(ProcStat.Parse(line));
}
