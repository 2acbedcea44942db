using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.TestKit.Processes;

namespace LlmGateway.ProcessManager.Tests.Fakes;

/// <summary>Small programs for children, in a folder of their own. Perl, because every Debian and macOS has it and it starts in 5 ms.</summary>
internal sealed class ScriptServer : IDisposable
{
    /// <summary>Speaks enough of llama-server: /health, /props, --host (IP or socket path), --port, --parallel, --alias. Files in its folder steer it.</summary>
    private const string Server = """
        #!/usr/bin/perl
        use strict; use IO::Socket::INET; use IO::Socket::UNIX; use FindBin;
        my $dir = $FindBin::Bin; $| = 1; my %a = ('--parallel' => 4, '--host' => '127.0.0.1');
        for (my $i = 0; $i < @ARGV; $i++) { $a{$ARGV[$i]} = $ARGV[$i+1]; }
        sub flag { -e "$dir/$_[0]" }
        $SIG{TERM} = 'IGNORE' if flag('ignore-term');
        print STDERR "key is $ENV{LLAMA_API_KEY}\n" if $ENV{LLAMA_API_KEY};
        if (flag('exit-code')) { open my $f, '<', "$dir/exit-code"; my $c = <$f>; print STDERR flag('last-words') ? `cat $dir/last-words` : "bye\n"; exit $c; }
        if (flag('grandchild')) { if (!fork) { open my $g, '>', "$dir/grandchild-pid"; print $g $$; close $g; sleep 1000; exit; } }
        my $s = $a{'--host'} =~ m{^/} ? IO::Socket::UNIX->new(Local => $a{'--host'}, Listen => 64)
            : IO::Socket::INET->new(LocalAddr => $a{'--host'}, LocalPort => $a{'--port'}, Listen => 64, ReuseAddr => 1);
        if (!$s) { print STDERR "couldn't bind HTTP server socket\n"; exit 1; }
        print "listening\n";
        while (1) {
            my $c = $s->accept or next; my $r = <$c> // ''; my $auth = '';
            while (my $l = <$c>) { last if $l =~ /^\r?$/; $auth = $1 if $l =~ /^authorization: bearer (\S+)/i; }
            my ($status, $body) = (404, '{}');
            if (flag('loading')) { ($status, $body) = (503, '{"error":{"message":"Loading model"}}'); }
            elsif ($r =~ m{/health}) { ($status, $body) = flag('unhealthy') ? (500, '{}') : (200, '{"status":"ok"}'); }
            elsif ($r =~ m{/props} && $auth ne $ENV{LLAMA_API_KEY}) { ($status, $body) = (401, '{}'); }
            elsif ($r =~ m{/props}) { my $alias = flag('alias') ? 'other' : $a{'--alias'};
                ($status, $body) = (200, qq({"total_slots":$a{'--parallel'},"model_alias":"$alias"})); }
            print $c "HTTP/1.1 $status X\r\nContent-Length: ", length($body), "\r\nConnection: close\r\n\r\n$body"; close $c;
        }
        """;

    public ScriptServer()
    {
        Folder = Directory.CreateTempSubdirectory("llmgw-test-").FullName;
        Program = Write("server", Server);
    }

    public string Folder { get; }

    public string Program { get; }

    /// <summary>Ports of this test alone, so that tests in parallel don't take each other's.</summary>
    public static (int First, int Last) Ports()
    {
        var first = 21_000 + (Interlocked.Add(ref _nextPorts, 8) % 8_000);
        return (first, first + 7);
    }

    private static int _nextPorts = Environment.ProcessId % 900 * 8;

    public ReplicaSetOptions Options(ReplicaKind kind = ReplicaKind.Simulator)
    {
        var (first, last) = Ports();
        return new()
        {
            Model = "m",
            Kind = kind,
            Executable = Program,
            Args = kind is ReplicaKind.Command ? ["--host", "{host}", "--port", "{port}"] : [],
            FirstPort = first,
            LastPort = last,
            Startup = new() { Kind = kind is ReplicaKind.Command ? ProbeKind.Tcp : ProbeKind.Http, Period = TimeSpan.FromMilliseconds(50) },
            Readiness = new() { Kind = kind is ReplicaKind.Command ? ProbeKind.Tcp : ProbeKind.Http, Period = TimeSpan.FromMilliseconds(50), FailureThreshold = 1 },
            Restart = new() { InitialBackoff = TimeSpan.FromMilliseconds(20) },
            StopTimeout = TimeSpan.FromSeconds(30),
        };
    }

    public string Write(string name, string script) => Script.Write(Path.Combine(Folder, name), script);

    public void Set(string flag, string content = "") => File.WriteAllText(Path.Combine(Folder, flag), content);

    public void Clear(string flag) => File.Delete(Path.Combine(Folder, flag));

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
