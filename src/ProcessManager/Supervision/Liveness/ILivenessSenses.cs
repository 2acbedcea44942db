using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Supervision.Liveness;

/// <summary>Where a <see cref="LivenessWatch"/> looks.</summary>
internal interface ILivenessSenses
{
    /// <summary>The process, or its whole group.</summary>
    ProcessLook Process(bool wholeGroup);

    /// <summary>The gateway's requests on it.</summary>
    TrafficLook Traffic();

    /// <summary>Asks for <c>/slots</c> once, within the probe's timeout. Never throws but for cancellation.</summary>
    Task<SlotsLook> SlotsAsync(CancellationToken cancellationToken);
}
