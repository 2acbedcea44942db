using LlmGateway.Probes;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Sampling;
using Microsoft.Extensions.Logging;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>What all replicas share.</summary>
internal sealed record ReplicaSurroundings(
    ILauncher Launcher, PortPool Ports, SocketFolder Sockets, StartPermits Permits, ProbeMetrics? Metrics, ResourceSampler? Samples, OutputFiles? Files,
    TimeProvider Time, Func<double> Random, ILogger Logger);
