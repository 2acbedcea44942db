using System.Net;
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
