using System.Collections.Immutable;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.RegularExpressions;
using LlmGateway.Probes;

namespace LlmGateway.Gateway.Models;

/// <summary>Relations between options that no single option's bounds can say. All errors, never only the first.</summary>
internal static partial class GatewayOptionsValidator
{
    private const int LongestName = 128;

    public static ImmutableArray<ConfigurationError> Validate(GatewayOptions options) =>
        [.. Listeners(options), .. Memory(options.Memory), .. Keys(options), .. options.Models.SelectMany(model => Model(model.Key, model.Value)), .. Names(options)];

    /// <summary>What is allowed but deserves a look.</summary>
    public static ImmutableArray<string> Warnings(GatewayOptions options) =>
    [
        .. options.Gateway.Insecure && options.Keys.Count == 0 ? ["Gateway:Insecure with no Keys: whoever reaches the data listener may use every model"] : Array.Empty<string>(),
        .. options.Models.Where(model => model.Value.Kind != ModelKind.Remote && model.Value.Remotes.Count > 0)
            .Select(model => $"Models:{model.Key}:Remotes: not used, only kind remote has remotes; set Kind to remote if they are meant"),
    ];

    /// <summary>True for a data listener that other machines reach while no API key is asked for and nobody has said that this is meant.</summary>
    public static bool IsUnguarded(string url, GatewayOptions options) =>
        ListenUrl.TryParse(url, out var parsed) && !parsed.IsLoopback && options.Keys.Count == 0 && !options.Gateway.Insecure;

    private static IEnumerable<ConfigurationError> Listeners(GatewayOptions options)
    {
        foreach (var (section, urls) in new[] { ("Gateway:Listen", options.Gateway.Listen), ("Management:Listen", options.Management.Listen) })
        {
            if (urls.Count == 0)
            {
                yield return new(section, "[]", "name at least one URL such as http://127.0.0.1:8080");
            }

            foreach (var url in urls)
            {
                if (!ListenUrl.TryParse(url, out var parsed))
                {
                    yield return new(section, $"\"{url}\"", "expected a URL such as http://127.0.0.1:8080 or https://[::]:8443");
                }
                else if (parsed.IsTls && (options.Gateway.Tls?.Certificate is null || options.Gateway.Tls.Key is null))
                {
                    yield return new("Gateway:Tls", null, $"{url} needs Certificate and Key, two PEM files") { Beside = ["Gateway:Tls:Certificate", "Gateway:Tls:Key"] };
                }
                else if (section == "Gateway:Listen" && IsUnguarded(url, options))
                {
                    yield return new(section, $"\"{url}\"", "other machines reach this address and no API key is configured: add one (llm-gateway key NAME), listen on 127.0.0.1, or set Gateway:Insecure to true")
                    {
                        Beside = ["Keys", "Gateway:Insecure"],
                    };
                }
            }
        }

        foreach (var file in new[] { options.Gateway.Tls?.Certificate, options.Gateway.Tls?.Key }.Where(file => file is not null && !File.Exists(file)))
        {
            yield return new("Gateway:Tls", $"\"{file}\"", "no such file");
        }

        if (options.Gateway.Tls is { Certificate: { } certificate, Key: { } key } && File.Exists(certificate) && File.Exists(key) && CertificateFault(certificate, key) is { } fault)
        {
            yield return new("Gateway:Tls", null, $"{certificate} and {key} are no certificate and key of it, both PEM ({fault})");
        }
    }

    private static IEnumerable<ConfigurationError> Memory(MemoryOptions options)
    {
        for (var i = 0; i < options.Gpus.Count; i++)
        {
            if (options.Gpus[i].Bytes is < 0 or > 1L << 50)
            {
                yield return new($"Memory:Gpus:{i}", options.Gpus[i].ToString(), "must lie between 0 and 1PiB");
            }
        }
    }

    private static string? CertificateFault(string certificate, string key)
    {
        try
        {
            X509Certificate2.CreateFromPemFile(certificate, key).Dispose();
            return null;
        }
        catch (Exception e) when (e is CryptographicException or IOException or UnauthorizedAccessException)
        {
            return e.Message;
        }
    }

    private static IEnumerable<ConfigurationError> Keys(GatewayOptions options)
    {
        var known = options.Models.SelectMany(model => model.Value.Aliases.Prepend(model.Key)).ToHashSet(StringComparer.Ordinal);
        for (var i = 0; i < options.Keys.Count; i++)
        {
            var key = options.Keys[i];
            var path = $"Keys:{i}";
            if (!IsKeyName(key.Name))
            {
                yield return new($"{path}:Name", $"\"{key.Name}\"", "expected 1 to 64 letters, digits, or . _ -");
            }

            if (!Sha256().IsMatch(key.Hash))
            {
                yield return new($"{path}:Hash", null, "expected sha256: and 64 hex digits; llm-gateway key NAME makes one");
            }

            if (options.Keys.Take(i).Any(other => other.Name == key.Name || string.Equals(other.Hash, key.Hash, StringComparison.OrdinalIgnoreCase)))
            {
                yield return new(path, $"\"{key.Name}\"", "name or hash is used twice") { Beside = [$"{path}:Name", $"{path}:Hash"] };
            }

            foreach (var model in key.Models.Where(model => model != "*" && !known.Contains(model)))
            {
                yield return new($"{path}:Models", $"\"{model}\"", "no such model or alias") { Beside = ["Models", .. options.Models.Keys.Select(name => $"Models:{name}:Aliases")] };
            }
        }
    }

    /// <summary>True for a text that can name an API key.</summary>
    public static bool IsKeyName(string name) => PlainName().IsMatch(name);

    /// <summary>The name of a model whose file has any name: what may not stand in it becomes <c>-</c>.</summary>
    public static string ToModelName(string text) =>
        string.Concat(text.Take(LongestName).Select(letter => char.IsAsciiLetterOrDigit(letter) || "._-:/@".Contains(letter, StringComparison.Ordinal) ? letter : '-')) is { Length: > 0 } name ? name : "model";

    private static IEnumerable<ConfigurationError> Names(GatewayOptions options)
    {
        var owners = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, model) in options.Models)
        {
            foreach (var (text, path) in model.Aliases.Select(alias => (alias, $"Models:{name}:Aliases")).Prepend((name, $"Models:{name}")))
            {
                if (!ModelName().IsMatch(text))
                {
                    yield return new(path, $"\"{text}\"", "a name has 1 to 128 letters, digits, or . _ - : / @");
                }

                if (!owners.TryAdd(text, name))
                {
                    yield return new(path, $"\"{text}\"", $"the name is taken by model {owners[text]}");
                }
            }
        }
    }

    private static IEnumerable<ConfigurationError> Model(string name, ModelOptions model)
    {
        var path = $"Models:{name}";
        ImmutableArray<string> kind = [$"{path}:Kind"];
        if (model.Kind == ModelKind.Command && string.IsNullOrWhiteSpace(model.Executable))
        {
            yield return new($"{path}:Executable", null, "kind command needs a program to run") { Beside = kind };
        }

        if (model.Kind == ModelKind.Remote && model.Remotes.Count == 0)
        {
            yield return new($"{path}:Remotes", null, "kind remote needs at least one { \"Url\": … }") { Beside = kind };
        }

        for (var i = 0; i < model.Remotes.Count; i++)
        {
            if (!Uri.TryCreate(model.Remotes[i].Url, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https") || url.UserInfo.Length > 0)
            {
                yield return new($"{path}:Remotes:{i}:Url", $"\"{model.Remotes[i].Url}\"", "expected an absolute http or https URL without user and password");
            }
            else if (model.Remotes[i].KeyFile is { } file && !File.Exists(file))
            {
                yield return new($"{path}:Remotes:{i}:KeyFile", $"\"{file}\"", "no such file");
            }
        }

        var most = Math.Max(model.Replicas, model.Scale.MaxReplicas ?? 0);
        if (model.Kind != ModelKind.Remote && model.Transport == ProcessManager.Replicas.ReplicaTransport.Tcp && model.Ports.Count < most)
        {
            yield return new($"{path}:Ports", $"\"{model.Ports}\"", $"{most} replicas need at least as many ports")
            {
                Beside = [.. kind, $"{path}:Replicas", $"{path}:Scale:MaxReplicas", $"{path}:Transport"],
            };
        }

        if (model.Scale.MaxReplicas is { } scaled)
        {
            if (model.Kind == ModelKind.Remote)
            {
                yield return new($"{path}:Scale:MaxReplicas", $"{scaled}", "a remote has no processes of ours; only local kinds can be scaled") { Beside = kind };
            }
            else if (model.Replicas == 0 || scaled < model.Replicas)
            {
                yield return new($"{path}:Scale:MaxReplicas", $"{scaled}", $"must not be less than Replicas ({model.Replicas}), and Replicas not less than 1") { Beside = [$"{path}:Replicas"] };
            }
        }

        if (model.CpuAffinity && (model.Kind == ModelKind.Remote || !OperatingSystem.IsLinux()))
        {
            yield return new($"{path}:CpuAffinity", "true", "only processes that the gateway runs on Linux can be kept on cores of their own") { Beside = kind };
        }

        foreach (var (section, parameter) in model.SetParams.Select(member => (nameof(model.SetParams), member.Key)).Concat(model.StripParams.Select(name => (nameof(model.StripParams), name))))
        {
            if (parameter is "stream" or "")
            {
                yield return new($"{path}:{section}", $"\"{parameter}\"", "whether the answer is a stream is the client's to say; name another field of the body");
            }
        }

        if (model.Restart.MaxBackoff < model.Restart.InitialBackoff)
        {
            yield return new($"{path}:Restart:MaxBackoff", Duration.Format(model.Restart.MaxBackoff), "must not be shorter than InitialBackoff") { Beside = [$"{path}:Restart:InitialBackoff"] };
        }

        if (model.Kind == ModelKind.Remote)
        {
            foreach (var key in new[] { (model.Probes.Startup, "Startup"), (model.Probes.Liveness, "Liveness") }.Where(probe => probe.Item1 is not null))
            {
                yield return new($"{path}:Probes:{key.Item2}", null, "a remote has a readiness probe only: its process is somebody else's") { Beside = kind };
            }
        }

        foreach (var error in Probe($"{path}:Probes:Startup", model.Probes.Startup, false)
            .Concat(Probe($"{path}:Probes:Readiness", model.Probes.Readiness, false))
            .Concat(Probe($"{path}:Probes:Liveness", model.Probes.Liveness, true)))
        {
            yield return error;
        }
    }

    private static IEnumerable<ConfigurationError> Probe(string path, ProbeSection? probe, bool isLiveness)
    {
        if (probe is null)
        {
            yield break;
        }

        if (probe.Kind == ProbeKind.Progress && !isLiveness)
        {
            yield return new($"{path}:Kind", "\"progress\"", "only the liveness probe can be of kind progress");
        }

        if (probe.Kind == ProbeKind.Exec && (probe.Command is not { Count: > 0 } || string.IsNullOrWhiteSpace(probe.Command[0])))
        {
            yield return new($"{path}:Command", null, "kind exec needs a command: [\"program\", \"argument\", …]") { Beside = [$"{path}:Kind"] };
        }
        else if (probe.Kind != ProbeKind.Exec && probe.Command is { Count: > 0 })
        {
            yield return new($"{path}:Command", null, "only kind exec runs a command; set Kind to exec") { Beside = [$"{path}:Kind"] };
        }

        if (isLiveness && probe.SuccessThreshold is > 1)
        {
            yield return new($"{path}:SuccessThreshold", $"{probe.SuccessThreshold}", "must be 1 for liveness: it only counts failures");
        }

        foreach (var header in probe.Headers ?? new Dictionary<string, string>())
        {
            if (!HeaderName().IsMatch(header.Key) || header.Value.AsSpan().ContainsAny('\r', '\n', '\0'))
            {
                yield return new($"{path}:Headers:{header.Key}", null, "is no HTTP header");
            }
        }

        if (probe.Path is { } httpPath && !httpPath.StartsWith('/'))
        {
            yield return new($"{path}:Path", $"\"{httpPath}\"", "must begin with /");
        }

        if (probe.Scheme is not (null or "http" or "https"))
        {
            yield return new($"{path}:Scheme", $"\"{probe.Scheme}\"", "expected http or https");
        }
    }

    [GeneratedRegex(@"^[A-Za-z0-9._:/@-]{1,128}\z")]
    private static partial Regex ModelName();

    [GeneratedRegex(@"^[A-Za-z0-9._-]{1,64}\z")]
    private static partial Regex PlainName();

    [GeneratedRegex(@"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\z")]
    private static partial Regex HeaderName();

    [GeneratedRegex(@"^sha256:[0-9a-fA-F]{64}\z")]
    private static partial Regex Sha256();
}

/// <summary>A listener's URL: scheme, address and port; no path.</summary>
internal sealed record ListenUrl(bool IsTls, string Host, int Port)
{
    public IPAddress? Address => IPAddress.TryParse(Host, out var address) ? address : null;

    public bool IsLoopback => Host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || (Address is { } address && IPAddress.IsLoopback(address));

    public static bool TryParse(string text, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out ListenUrl? url)
    {
        // The usual "any address" spellings of web servers.
        var standard = text.Replace("://*", "://[::]", StringComparison.Ordinal).Replace("://+", "://[::]", StringComparison.Ordinal);
        url = Uri.TryCreate(standard, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" && uri.PathAndQuery == "/" && uri.UserInfo.Length == 0
            ? new ListenUrl(uri.Scheme == "https", uri.IdnHost.Trim('[', ']'), uri.Port)
            : null;
        return url is not null && (url.Address is not null || url.IsLoopback);
    }
}
