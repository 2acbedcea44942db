using System.Net;
using System.Net.Sockets;
using LlmGateway.ProcessManager.Launching;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.ProcessManager.Tests.Launching;

public sealed class PortPoolTests
{
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public void Rent_All_ThenNone()
    {
        var pool = new PortPool(_time, _ => false);
        Assert.Equal([10, 11, null], new[] { pool.Rent(10, 11), pool.Rent(10, 11), pool.Rent(10, 11) });
        Assert.Equal(12, pool.Rent(10, 12)); // ranges may overlap
    }

    [Fact]
    public void Return_Port_RestsUnlessNothingElseIsLeft()
    {
        var pool = new PortPool(_time, _ => false);
        pool.Return(pool.Rent(10, 12)!.Value);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(11, pool.Rent(10, 12));
        pool.Return(11);
        Assert.Equal(12, pool.Rent(10, 12));
        Assert.Equal(10, pool.Rent(10, 12)); // the one that has rested longest
        _time.Advance(PortPool.CoolDown);
        Assert.Equal(11, pool.Rent(10, 12));
        Assert.Null(pool.Rent(10, 12));
    }

    [Fact]
    public void Rent_TakenByAStranger_IsPassedOver()
    {
        using var stranger = new TcpListener(IPAddress.Loopback, 0);
        stranger.Start();
        var port = ((IPEndPoint)stranger.LocalEndpoint).Port;
        Assert.Null(new PortPool(_time).Rent(port, port));
    }
}
