using System.Text.Json;
using System.Text.Json.Nodes;
using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.Api;

/// <summary>The simulator's own endpoints: faults in, observations out. No key, answered in every state.</summary>
internal static class ControlApi
{
    public static async Task HandleAsync(Exchange exchange, string path)
    {
        var simulation = exchange.Simulation;
        switch (exchange.Http.Request.Method, path)
        {
            case ("GET", "/sim/faults"):
                await exchange.ReplyAsync(FaultsJson.Write(simulation.Faults.Current), "application/json").ConfigureAwait(false);
                break;
            case ("POST", "/sim/faults"):
                await exchange.ReplyAsync(FaultsJson.Write(Update(exchange, await exchange.ReadBodyAsync().ConfigureAwait(false))), "application/json").ConfigureAwait(false);
                break;
            case ("DELETE", "/sim/faults"):
                simulation.Faults.Update(static _ => new Faults());
                await exchange.ReplyAsync(FaultsJson.Write(simulation.Faults.Current), "application/json").ConfigureAwait(false);
                break;
            case ("GET", "/sim/state"):
                await StateAsync(exchange).ConfigureAwait(false);
                break;
            default:
                throw ApiException.NotFound();
        }
    }

    private static Faults Update(Exchange exchange, ReadOnlyMemory<byte> body)
    {
        try
        {
            var update = JsonNode.Parse(body.Span);
            return exchange.Simulation.Faults.Update(now => FaultsJson.Merge(now, update));
        }
        catch (JsonException e)
        {
            throw ApiException.Invalid(e.Message);
        }
    }

    private static Task StateAsync(Exchange exchange)
    {
        var simulation = exchange.Simulation;
        var (deferred, deferredPeak, processing) = simulation.Slots.Load;
        return exchange.ReplyAsync(json =>
        {
            json.WriteStartObject();
            json.WriteNumber("pid", Environment.ProcessId);
            json.WriteBoolean("ready", simulation.State.IsReady);
            json.WriteNumber("requests", simulation.State.Requests);
            json.WriteNumber("inFlight", simulation.State.InFlight);
            json.WriteNumber("answered", simulation.State.Answered);
            json.WriteNumber("aborted", simulation.State.Aborted);
            json.WriteNumber("deferred", deferred);
            json.WriteNumber("deferredPeak", deferredPeak);
            json.WriteNumber("processing", processing);
            json.WriteNumber("streams", simulation.Decoder.ActiveStreams);
            json.WriteNumber("connections", simulation.State.Connections);
            json.WriteNumber("longestLogWriteMs", simulation.Log.LongestWriteMs);
            json.WriteEndObject();
        });
    }
}
