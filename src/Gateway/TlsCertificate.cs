using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway;

/// <summary>The certificate of the TLS listeners: read again when its files change, kept when what they hold then is no good.</summary>
/// <remarks>The files are looked at when a client connects, once a second at most: no watcher that could miss the swapped links of a mounted secret.</remarks>
internal sealed class TlsCertificate(TlsOptions options, TimeProvider time)
{
    private static readonly TimeSpan Recheck = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private SslStreamCertificateContext? _current;
    private byte[] _fingerprint = [];
    private byte[] _failed = [];
    private long _checkedAt;

    /// <summary>The certificate with its chain.</summary>
    /// <param name="onFailure">Told once for each content of the files that can't be used.</param>
    /// <exception cref="CryptographicException">The files hold no certificate with its key, and never did.</exception>
    public SslStreamCertificateContext Get(Action<Exception> onFailure)
    {
        lock (_lock)
        {
            if (_current is { } current && time.GetElapsedTime(_checkedAt) < Recheck)
            {
                return current;
            }

            _checkedAt = time.GetTimestamp();
            try
            {
                Refresh_NeedsLock(onFailure);
            }
            catch (Exception e) when (_current is not null && e is IOException or UnauthorizedAccessException)
            {
                // In the middle of a change: the next look will tell.
            }

            return _current!;
        }
    }

    private void Refresh_NeedsLock(Action<Exception> onFailure)
    {
        var (certificate, key) = (File.ReadAllText(options.Certificate!), File.ReadAllText(options.Key!));
        var fingerprint = SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(certificate + '\0' + key));
        if (fingerprint.AsSpan().SequenceEqual(_fingerprint) || fingerprint.AsSpan().SequenceEqual(_failed))
        {
            return;
        }

        try
        {
            (_current, _fingerprint, _failed) = (Load(certificate, key), fingerprint, []);
        }
        catch (Exception e) when (_current is not null && e is CryptographicException or ArgumentException)
        {
            _failed = fingerprint;
            onFailure(e);
        }
    }

    private static SslStreamCertificateContext Load(string certificate, string key)
    {
        var chain = new X509Certificate2Collection();
        chain.ImportFromPem(certificate);
        var own = X509Certificate2.CreateFromPem(certificate, key);
        if (OperatingSystem.IsWindows())
        {
            // Its TLS takes no key that lives in memory only.
            own = X509CertificateLoader.LoadPkcs12(own.Export(X509ContentType.Pkcs12), null);
        }

        return SslStreamCertificateContext.Create(own, chain, offline: true);
    }
}
