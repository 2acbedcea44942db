using System.CommandLine;
using LlmGateway.LoadTests.Running;

namespace LlmGateway.LoadTests.Peers;

/// <summary>The verb <c>peers</c>: nginx, HAProxy, bare YARP, bare Kestrel and the gateway in front of the same simulator, in one interleaved run.</summary>
internal static class PeersCommand
{
    public static Command Create()
    {
        var repeats = new Option<int>("--repeats") { Description = "How often everything is measured.", DefaultValueFactory = static _ => 5 };
        var cases = new Option<string[]>("--case") { Description = $"Only these: {string.Join(", ", PeerCase.All.Select(static one => one.Name))}.", AllowMultipleArgumentsPerToken = true };
        var names = new Option<string[]>("--peer") { Description = "Only these: direct, nginx, haproxy, yarp, kestrel, gateway.", AllowMultipleArgumentsPerToken = true };
        var nginx = new Option<string?>("--nginx") { Description = "nginx's program. Default: what eng/install-peers.sh brought." };
        var haproxy = new Option<string?>("--haproxy") { Description = "HAProxy's program, likewise." };
        var gateway = new Option<string?>("--gateway") { Description = "The gateway's program, for example a published one. Default: what was built here." };
        var warmUp = new Option<double>("--warm-up")
        {
            Description = "Seconds of load before the measured one, for the peers that are compiled as they run (.NET): 200 streams a second take longer than thousands of requests.",
            DefaultValueFactory = static _ => 15,
        };
        var output = new Option<string?>("--out") { Description = "File for the tables, Markdown.", HelpName = "FILE" };
        var command = new Command("peers", "nginx, HAProxy, bare YARP, bare Kestrel and the gateway side by side: CPU, latency, memory, goodput, in one interleaved run.")
        {
            repeats, cases, names, nginx, haproxy, gateway, warmUp, output,
        };
        command.SetAction(async (result, cancellationToken) =>
        {
            try
            {
                var chosen = Chosen(PeerCase.All, static one => one.Name, result.GetValue(cases), "--case");
                Peer[] all =
                [
                    new DirectPeer(), new NginxPeer(result.GetValue(nginx) ?? Installed("nginx")), new HaproxyPeer(result.GetValue(haproxy) ?? Installed("haproxy")),
                    new BareYarpPeer(), new BareKestrelPeer(), new GatewayPeer(result.GetValue(gateway)),
                ];
                var peers = Chosen(all, static peer => peer.Name.Split(' ')[^1], result.GetValue(names), "--peer");
                if (result.GetValue(warmUp) is not (>= 0 and <= 3600) and var seconds)
                {
                    throw new FormatException($"--warm-up: {seconds} is not from 0 to 3600 seconds");
                }

                var startedAt = TimeProvider.System.GetUtcNow();
                var results = await new PeerRun(peers, chosen, result.GetValue(repeats), TimeSpan.FromSeconds(result.GetValue(warmUp)), Console.WriteLine).RunAsync(cancellationToken).ConfigureAwait(false);
                var page = PeerReport.Render(results, chosen, startedAt, LoadTests.CommandLine.Machine());
                Console.WriteLine();
                Console.Write(page);
                if (result.GetValue(output) is { } file)
                {
                    await File.WriteAllTextAsync(file, page, cancellationToken).ConfigureAwait(false);
                }

                return 0;
            }
            catch (Exception e) when (e is SpawnException or FormatException or IOException or OperationCanceledException)
            {
                await Console.Error.WriteLineAsync(e is OperationCanceledException ? "Stopped." : e.Message).ConfigureAwait(false);
                return e is FormatException ? 2 : 1;
            }
        });
        return command;
    }

    private static List<T> Chosen<T>(IEnumerable<T> all, Func<T, string> name, string[]? wanted, string option)
    {
        if (wanted is null or [])
        {
            return [.. all];
        }

        var unknown = wanted.Except(all.Select(name)).FirstOrDefault();
        return unknown is null
            ? [.. all.Where(one => wanted.Contains(name(one)))]
            : throw new FormatException($"{option}: there is no '{unknown}' but {string.Join(", ", all.Select(name))}");
    }

    private static string Installed(string program) => Path.Combine(BuiltPrograms.Root(), ".tools", "peers", "bin", program);
}
