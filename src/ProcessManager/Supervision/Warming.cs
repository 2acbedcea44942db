using LlmGateway.Probes.LlamaServer;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;
using Microsoft.Extensions.Logging;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>Asks a server that has come up who it is and how many slots it has.</summary>
internal static class Warming
{
    private const int Unauthorized = 401;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public static async Task<SupervisorEvent> RunAsync(
        ReplicaSetOptions options, string backend, Generation generation, TimeProvider time, ILogger logger)
    {
        var assumed = options.Slots ?? 1;
        if (options.Kind is ReplicaKind.Command)
        {
            return new SupervisorEvent.Warmed(generation.Number, assumed);
        }

        var process = generation.Process ?? throw new InvalidOperationException("A server can't be asked before it is launched.");
        using var client = LlamaServerClient.WithRetries(process.Address, process.ApiKey, Patience, time);
        try
        {
            var props = await client.GetPropsAsync(generation.Over);
            var names = CommandLine.AliasOf(generation.Arguments, options.Environment)?.Split(',', StringSplitOptions.TrimEntries) ?? [];
            if (!string.IsNullOrEmpty(props.ModelAlias) && !props.ModelAlias.Split(',', StringSplitOptions.TrimEntries).Any(names.Contains))
            {
                return Failed(ExitCause.PortConflict, $"The server on its address calls itself {LineCutter.Escape(props.ModelAlias)}. Another address is tried.");
            }

            if (props.TotalSlots is > 0 and var total)
            {
                return new SupervisorEvent.Warmed(generation.Number, Math.Min(total, options.Slots ?? total));
            }

            Log.SlotsUnknown(logger, backend, "no total_slots", assumed);
        }
        catch (LlamaServerException e) when (e.Status is Unauthorized)
        {
            return Failed(ExitCause.PermanentConfig, "It refuses the gateway's key. Remove --api-key and --api-key-file from the model's Args: the gateway makes a key of its own.");
        }
        catch (LlamaServerException e)
        {
            Log.SlotsUnknown(logger, backend, e.Message, assumed);
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or Polly.ExecutionRejectedException && !generation.Over.IsCancellationRequested)
        {
            return Failed(ExitCause.StartTimeout, $"It answers its startup probe, but not /props: {e.Message}");
        }

        return new SupervisorEvent.Warmed(generation.Number, assumed);

        SupervisorEvent.StartupFailed Failed(ExitCause cause, string message) => new(generation.Number, cause, message);
    }
}
