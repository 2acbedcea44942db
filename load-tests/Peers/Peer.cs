using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json.Nodes;
using LlmGateway.LoadTests.Running;

namespace LlmGateway.LoadTests.Peers;

/// <summary>What stands behind a peer.</summary>
/// <param name="Backends">Where the simulated servers are.</param>
/// <param name="Slots">Slots of each.</param>
/// <param name="QueueTimeout">Longest wait for a slot, of the peers that know slots.</param>
internal sealed record PeerSetup(ImmutableArray<Uri> Backends, int Slots, TimeSpan QueueTimeout);

/// <summary>A proxy that is measured: how it is started in front of given backends.</summary>
internal abstract record Peer(string Name)
{
    /// <summary>The peer that the others are compared with.</summary>
    public const string Baseline = "nginx";

    /// <summary>True when its code is compiled as it runs: measured too soon, it is the start that is measured.</summary>
    public virtual bool IsCompiledAsItRuns => false;

    /// <summary>Starts it in a folder of its own; null when clients go to the first backend directly.</summary>
    public abstract Task<ServerProcess?> StartAsync(PeerSetup setup, string folder, CancellationToken cancellationToken);

    protected static string Text(IFormattable number) => number.ToString(null, CultureInfo.InvariantCulture);
}

/// <summary>No proxy: what the backend and the tester cost by themselves.</summary>
internal sealed record DirectPeer() : Peer("direct")
{
    public override Task<ServerProcess?> StartAsync(PeerSetup setup, string folder, CancellationToken cancellationToken) => Task.FromResult<ServerProcess?>(null);
}

/// <summary>nginx with two workers, unbuffered, connections to backends kept.</summary>
internal sealed record NginxPeer(string Program) : Peer(Baseline)
{
    public override async Task<ServerProcess?> StartAsync(PeerSetup setup, string folder, CancellationToken cancellationToken)
    {
        var url = ServerProcess.FreeAddress();
        var servers = string.Join("\n", setup.Backends.Select(static backend => $"    server {backend.Authority};"));
        var file = Path.Combine(folder, "nginx.conf");
        await File.WriteAllTextAsync(
            file,
            $$"""
            daemon off;
            worker_processes 2;
            worker_rlimit_nofile 20000;
            pid {{folder}}/nginx.pid;
            error_log {{folder}}/error.log crit;
            events { worker_connections 10000; }
            http {
              access_log off;
              client_body_temp_path {{folder}}/body;
              proxy_temp_path {{folder}}/proxy;
              fastcgi_temp_path {{folder}}/fastcgi;
              uwsgi_temp_path {{folder}}/uwsgi;
              scgi_temp_path {{folder}}/scgi;
              client_max_body_size 32m;
              upstream backends {
                least_conn;
            {{servers}}
                keepalive 256;
                keepalive_timeout 2s;
                keepalive_requests 90;
              }
              server {
                listen {{url.Authority}} backlog=4096;
                keepalive_requests 1000000;
                location / {
                  proxy_pass http://backends;
                  proxy_http_version 1.1;
                  proxy_set_header Connection "";
                  proxy_buffering off;
                  proxy_read_timeout 600s;
                }
              }
            }

            """,
            cancellationToken).ConfigureAwait(false);
        return await ServerProcess.StartAsync(url, Program, ["-p", folder, "-e", Path.Combine(folder, "error.log"), "-c", file], cancellationToken).ConfigureAwait(false);
    }
}

/// <summary>HAProxy with two threads: central queue, a bound for each server.</summary>
internal sealed record HaproxyPeer(string Program) : Peer("haproxy")
{
    public override async Task<ServerProcess?> StartAsync(PeerSetup setup, string folder, CancellationToken cancellationToken)
    {
        var url = ServerProcess.FreeAddress();
        var servers = string.Join("\n", setup.Backends.Select((backend, i) => $"  server b{i} {backend.Authority} maxconn {setup.Slots}"));
        var file = Path.Combine(folder, "haproxy.cfg");
        await File.WriteAllTextAsync(
            file,
            $"""
            global
              nbthread 2
              maxconn 9000
            defaults
              mode http
              timeout connect 2s
              timeout client 600s
              timeout server 600s
              timeout queue {(int)setup.QueueTimeout.TotalMilliseconds}ms
            frontend clients
              bind {url.Authority} backlog 4096
              default_backend backends
            backend backends
              balance leastconn
            {servers}

            """,
            cancellationToken).ConfigureAwait(false);
        return await ServerProcess.StartAsync(url, Program, ["-db", "-f", file], cancellationToken).ConfigureAwait(false);
    }
}

/// <summary>A program of a few lines that knows nothing but where it listens and whom it asks.</summary>
internal abstract record BarePeer(string Name) : Peer(Name)
{
    public override bool IsCompiledAsItRuns => true;

    /// <summary>What to run.</summary>
    protected abstract string Program { get; }

    public override async Task<ServerProcess?> StartAsync(PeerSetup setup, string folder, CancellationToken cancellationToken)
    {
        var url = ServerProcess.FreeAddress();
        return await ServerProcess.StartAsync(url, Program, [url.AbsoluteUri, .. setup.Backends.Select(static backend => backend.AbsoluteUri)], cancellationToken).ConfigureAwait(false);
    }
}

/// <summary>YARP without anything of ours.</summary>
internal sealed record BareYarpPeer() : BarePeer("bare yarp")
{
    protected override string Program => BuiltPrograms.BareYarp();
}

/// <summary>Kestrel and a socket to the backend: the ground that a gateway on Kestrel stands on.</summary>
internal sealed record BareKestrelPeer() : BarePeer("bare kestrel")
{
    protected override string Program => BuiltPrograms.BareKestrel();
}

/// <summary>The gateway as it ships, with the backends as remote servers and a key: every feature on, traces off.</summary>
/// <param name="Program">Null for what was built here.</param>
internal sealed record GatewayPeer(string? Program) : Peer("gateway")
{
    public override bool IsCompiledAsItRuns => true;

    /// <summary>The key that clients send to every peer: only the gateway looks at it.</summary>
    public const string Key = "sk-peers";

    private const int MostSlots = 1024;

    public override async Task<ServerProcess?> StartAsync(PeerSetup setup, string folder, CancellationToken cancellationToken)
    {
        var url = ServerProcess.FreeAddress();
        var file = Path.Combine(folder, "gateway.json");
        await File.WriteAllTextAsync(file, Configuration(setup, url, folder), cancellationToken).ConfigureAwait(false);
        return await ServerProcess.StartAsync(url, Program ?? BuiltPrograms.Gateway(), ["--config", file], cancellationToken).ConfigureAwait(false);
    }

    internal static string Configuration(PeerSetup setup, Uri url, string folder)
    {
        var hash = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(Key)));
        var remotes = setup.Backends.SelectMany(backend => Shares(setup.Slots).Select(slots => (JsonNode)new JsonObject { ["Url"] = backend.AbsoluteUri, ["Slots"] = slots }));
        return new JsonObject
        {
            ["Gateway"] = new JsonObject { ["Listen"] = url.AbsoluteUri, ["StateDirectory"] = Path.Combine(folder, "state"), ["MaxConcurrentRequests"] = 20_000, ["MaxConnections"] = 20_000 },
            ["Management"] = new JsonObject { ["Listen"] = "http://127.0.0.1:0" },
            ["Keys"] = new JsonArray(new JsonObject { ["Name"] = "peers", ["Hash"] = "sha256:" + hash }),
            ["Models"] = new JsonObject
            {
                [SpawnedGateway.Model] = new JsonObject
                {
                    ["Kind"] = "remote",
                    ["Remotes"] = new JsonArray([.. remotes]),
                    ["Queue"] = new JsonObject { ["Timeout"] = Text((int)setup.QueueTimeout.TotalMilliseconds) + "ms", ["MaxDepthPerKey"] = 100_000, ["MaxDepth"] = 100_000 },
                },
            },
        }.ToJsonString();
    }

    // One remote has at most so many slots; a larger server is named several times.
    private static IEnumerable<int> Shares(int slots)
    {
        for (; slots > 0; slots -= MostSlots)
        {
            yield return Math.Min(slots, MostSlots);
        }
    }
}
