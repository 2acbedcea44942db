using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LlmGateway.Gateway.Models;
using LlmGateway.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests;

public sealed class TlsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly FakeTimeProvider _time = new();
    private readonly TlsOptions _options;
    private readonly List<Exception> _failures = [];

    public TlsTests() => _options = new TlsOptions { Certificate = Path.Combine(_folder.Path, "tls.crt"), Key = Path.Combine(_folder.Path, "tls.key") };

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Get_FilesReplaced_IsTheNewCertificateAfterAMoment()
    {
        var first = Write("one");
        var certificate = new TlsCertificate(_options, _time);
        Assert.Equal(first, Thumbprint(certificate));
        var second = Write("two");
        Assert.Equal(first, Thumbprint(certificate));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(second, Thumbprint(certificate));
        Assert.Empty(_failures);
    }

    [Fact]
    public void Get_FilesThatDoNotFitOrAreGone_KeepTheCertificateBeforeAndAreToldOnce()
    {
        var first = Write("one");
        var certificate = new TlsCertificate(_options, _time);
        Assert.Equal(first, Thumbprint(certificate));

        using (var other = ECDsa.Create())
        {
            File.WriteAllText(_options.Key!, other.ExportPkcs8PrivateKeyPem());
        }

        foreach (var _ in Enumerable.Range(0, 3))
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal(first, Thumbprint(certificate));
        }

        Assert.Single(_failures);
        File.WriteAllText(_options.Certificate!, "half");
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(first, Thumbprint(certificate));
        File.Delete(_options.Certificate!);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(first, Thumbprint(certificate));

        var second = Write("two");
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(second, Thumbprint(certificate));
        Assert.Equal(2, _failures.Count);
    }

    [Fact]
    public async Task Listener_WithTls_SpeaksHttp2AndHttp1()
    {
        var thumbprint = Write("one");
        var builder = WebServer.CreateData(new DataPlaneOptions { Listen = ["https://127.0.0.1:0"], Tls = _options });
        builder.Logging.ClearProviders();
        await using var app = builder.Build();
        app.MapGet("/", (HttpContext context) => context.Request.Protocol);
        await app.StartAsync(Ct);
        var url = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());
        string? seen = null;
        using var handler = new HttpClientHandler
        {
            ServerCertificateCustomValidationCallback = (_, certificate, _, _) =>
            {
                seen = certificate?.Thumbprint;
                return true;
            },
        };
        using var client = new HttpClient(handler) { BaseAddress = url };
        foreach (var version in new[] { HttpVersion.Version20, HttpVersion.Version11 })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/") { Version = version, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
            using var answer = await client.SendAsync(request, Ct);
            Assert.Equal($"HTTP/{version.Major}{(version.Major == 1 ? ".1" : "")}", await answer.Content.ReadAsStringAsync(Ct));
        }

        Assert.Equal(thumbprint, seen);
    }

    [Fact(Timeout = 60_000)]
    public async Task Listener_FloodedWithHttp2Resets_EndsThatConnectionAndServesTheOthers()
    {
        const int MostStreams = 20_000;
        var thumbprint = Write("one");
        var builder = WebServer.CreateData(new DataPlaneOptions { Listen = ["https://127.0.0.1:0"], Tls = _options });
        builder.Logging.ClearProviders();
        await using var app = builder.Build();
        var cut = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var running = 0;
        var most = 0;
        app.MapGet("/", async (HttpContext context) =>
        {
            InterlockedMax(ref most, Interlocked.Increment(ref running));
            try
            {
                // A handler that does not end because its client has left: what a flood of resets feeds on.
                await cut.Task;
            }
            finally
            {
                Interlocked.Decrement(ref running);
            }

            return "served";
        });
        await app.StartAsync(Ct);
        var url = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());

        using var flood = new TcpClient();
        await flood.ConnectAsync(url.Host, url.Port, Ct);
        await using var stream = new SslStream(flood.GetStream(), leaveInnerStreamOpen: false, (_, certificate, _, _) => certificate?.GetCertHashString() == thumbprint);
        await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost", ApplicationProtocols = [SslApplicationProtocol.Http2] }, Ct);
        await stream.WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray(), Ct);
        await stream.WriteAsync(Frame(type: 4, flags: 0, id: 0), Ct);
        await stream.WriteAsync(Get(id: 1), Ct);
        await Eventually.TrueAsync(() => Volatile.Read(ref running) == 1, "the first request to be served", Ct);
        try
        {
            for (var id = 3; id < 2 * MostStreams; id += 2)
            {
                await stream.WriteAsync(Get(id), Ct);
                await stream.WriteAsync(Frame(type: 3, flags: 0, id, [0, 0, 0, 8]), Ct);
            }

            // The kernel may have taken all of it before the server has read any: the end that the server makes shows that it refuses.
            await stream.CopyToAsync(Stream.Null, Ct);
        }
        catch (IOException)
        {
            // Cut.
        }

        cut.SetResult();
        Assert.InRange(most, 1, 2 * 100 + 1);
        using var handler = new HttpClientHandler { ServerCertificateCustomValidationCallback = (_, certificate, _, _) => certificate?.Thumbprint == thumbprint };
        using var client = new HttpClient(handler) { BaseAddress = url };
        Assert.Equal("served", await client.GetStringAsync(new Uri("/", UriKind.Relative), Ct));
    }

    /// <summary>":method: GET", ":path: /" and ":scheme: https" of the static table, and an authority.</summary>
    private static byte[] Get(int id) => Frame(type: 1, flags: 5, id, [0x82, 0x84, 0x87, 0x41, 9, .. "localhost"u8]);

    private static void InterlockedMax(ref int target, int value)
    {
        int seen;
        while ((seen = Volatile.Read(ref target)) < value && Interlocked.CompareExchange(ref target, value, seen) != seen)
        {
        }
    }

    private static byte[] Frame(byte type, byte flags, int id, params byte[] payload) =>
        [0, (byte)(payload.Length >> 8), (byte)payload.Length, type, flags, (byte)(id >> 24), (byte)(id >> 16), (byte)(id >> 8), (byte)id, .. payload];

    private string? Thumbprint(TlsCertificate certificate) => certificate.Get(_failures.Add).TargetCertificate.Thumbprint;

    private string Write(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(200));
        File.WriteAllText(_options.Certificate!, certificate.ExportCertificatePem());
        File.WriteAllText(_options.Key!, key.ExportPkcs8PrivateKeyPem());
        return certificate.Thumbprint;
    }
}
