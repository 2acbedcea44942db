using System.Collections.Immutable;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Orphans;
using LlmGateway.ProcessManager.Sampling;
using LlmGateway.ProcessManager.Supervision;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace LlmGateway.ProcessManager.Replicas;

/// <inheritdoc cref="IReplicaSetFactory"/>
internal sealed class ReplicaSetFactory : IReplicaSetFactory, IDisposable
{
    private readonly ILauncher _launcher;
    private readonly OutputFiles? _files;
    private readonly SocketFolder _sockets;
    private readonly StartPermits _permits;
    private readonly ReplicaSurroundings _around;

    public ReplicaSetFactory(IOptions<ProcessManagerOptions> options, TimeProvider time, ILoggerFactory loggers, ProbeMetrics metrics, ResourceSampler samples)
        : this(options, time, loggers, metrics, samples, new PortPool(time))
    {
    }

    internal ReplicaSetFactory(IOptions<ProcessManagerOptions> options, TimeProvider time, ILoggerFactory loggers, ProbeMetrics? metrics, ResourceSampler? samples, PortPool ports)
    {
        var launcher = new Launcher(loggers.CreateLogger<Launcher>());
        _launcher = options.Value.StateDirectory is { } state
            ? new OrphanWatch(
                state, launcher, OperatingSystem.IsLinux() ? new LinuxProcesses() : new PortableProcesses(), time, loggers.CreateLogger<OrphanWatch>())
            : launcher;
        _ = (_launcher as OrphanWatch)?.ReapedAsync(); // at once, and not only when something is launched
        _files = options.Value.StateDirectory is { } folder
            ? new(Path.Combine(folder, "logs"), OutputFileLimits.Default, time, loggers.CreateLogger<OutputFiles>())
            : null;
        _sockets = new(options.Value.StateDirectory is { } stays ? Path.Combine(stays, "sockets") : null, options.Value.RuntimeDirectory);
        _permits = new(options.Value.StartPermits);
        _around = new(_launcher, ports, _sockets, _permits, metrics, samples, _files, time, Random.Shared.NextDouble, loggers.CreateLogger<Supervisor>());
    }

    public IReplicaSet Create(ReplicaSetOptions options, IReplicaTraffic traffic)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(traffic);
        Check(options);
        return new ReplicaSet(options, traffic, _around);
    }

    public ImmutableArray<string> Preview(ReplicaSetOptions options, int index, int port)
    {
        ArgumentNullException.ThrowIfNull(options);
        var place = options.Transport is ReplicaTransport.Unix
            ? new LaunchPlace($"/tmp/llmgw/{index}.sock", null, index) // the real folder is made at the first launch
            : new LaunchPlace("127.0.0.1", port, index);
        var program = Preflight.FindProgram(options.Executable, Environment.GetEnvironmentVariable("PATH")).Path ?? options.Executable;
        var (before, _) = Preflight.Pin(options, index, CoreShare.Allowed(), Environment.GetEnvironmentVariable("PATH"));
        return [.. before, program, .. CommandLine.Masked(CommandLine.Build(options, place, Environment.ProcessorCount))];
    }

    /// <summary>The least that a supervisor must be able to rely on; whoever reads a configuration checks more, and says it better.</summary>
    private static void Check(ReplicaSetOptions options)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(options.Model);
        ArgumentException.ThrowIfNullOrWhiteSpace(options.Executable);
        ArgumentOutOfRangeException.ThrowIfNegative(options.Replicas);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.FirstPort, options.LastPort);
        foreach (var probe in new[] { options.Startup, options.Readiness, options.Liveness })
        {
            if ((probe is { Kind: ProbeKind.Progress } && probe != options.Liveness) || probe is { Kind: ProbeKind.Exec, Command: [] })
            {
                throw new ArgumentException($"A probe of kind {probe.Kind} can't tell whether {options.Model} is up.", nameof(options));
            }
        }
    }

    /// <summary>Ends whatever still lives: the launcher's thread is what children's lives are tied to.</summary>
    public void Dispose()
    {
        (_launcher as IDisposable)?.Dispose();
        _files?.Dispose();
        _sockets.Dispose();
        _permits.Dispose();
    }
}
