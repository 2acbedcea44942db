using LlmGateway.Probes.LlamaServer;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Sampling;

namespace LlmGateway.ProcessManager.Supervision.Liveness;

/// <inheritdoc cref="ILivenessSenses"/>
internal sealed class LivenessSenses : ILivenessSenses, IDisposable
{
    private const int FirstServerError = 500;
    private const int NotImplemented = 501;
    private readonly string _backend;
    private readonly int _generation;
    private readonly IChildProcess _child;
    private readonly IReplicaTraffic _traffic;
    private readonly IResourceSampler? _samples;
    private readonly LlamaServerClient _client;

    public LivenessSenses(string backend, int generation, IChildProcess child, LiveProcess process, IReplicaTraffic traffic, IResourceSampler? samples, TimeSpan timeout)
    {
        (_backend, _generation, _child, _traffic, _samples) = (backend, generation, child, traffic, samples);
        _client = new(process.Address, process.ApiKey, timeout);
    }

    public ProcessLook Process(bool wholeGroup) => _child.Look(wholeGroup) with { IsOnGpu = IsOnGpu(wholeGroup) };

    public TrafficLook Traffic() => _traffic.Look(_backend, _generation);

    public async Task<SlotsLook> SlotsAsync(CancellationToken cancellationToken)
    {
        try
        {
            return new(SlotsAnswer.Told, await _client.GetSlotsAsync(cancellationToken));
        }
        catch (LlamaServerException e)
        {
            // 404 and 501: it has no such endpoint. Another error of its own is no answer to the question.
            return e.Status is < FirstServerError or NotImplemented ? SlotsLook.NotOffered : SlotsLook.None;
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return SlotsLook.None;
        }
    }

    private bool IsOnGpu(bool wholeGroup)
    {
        if (_samples?.Current.Gpus is not { IsDefaultOrEmpty: false } gpus)
        {
            return false;
        }

        IEnumerable<int> pids = wholeGroup ? ProcFs.Group(_child.Pid).Select(member => member.Pid) : [_child.Pid];
        return GpuUse.IsBusy(gpus, [.. pids.Where(ProcFs.HoldsGpu)]);
    }

    public void Dispose() => _client.Dispose();
}
