namespace LlmGateway.Probes.Tests;

public sealed class BackendAddressTests
{
    [Fact]
    public void Addresses_OfTheSamePlace_AreEqual()
    {
        Assert.Equal(BackendAddress.Tcp("127.0.0.1", 18100), BackendAddress.Tcp("127.0.0.1", 18100));
        Assert.NotEqual(BackendAddress.Unix("/a.sock"), BackendAddress.Unix("/b.sock"));
        Assert.Equal(BackendAddress.Remote(new("http://h:1/x")), BackendAddress.Remote(new("http://h:1/x/")));
    }

    [Fact]
    public void ToString_ForPeople_IsShort()
    {
        Assert.Equal("http://127.0.0.1:18100", BackendAddress.Tcp("127.0.0.1", 18100).ToString());
        Assert.Equal("unix:/run/x.sock", BackendAddress.Unix("/run/x.sock").ToString());
    }
}
