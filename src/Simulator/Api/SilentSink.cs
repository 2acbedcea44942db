using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>For answers that are sent whole.</summary>
internal sealed class SilentSink(Exchange exchange) : IGenerationSink
{
    // The real server looks for its client only when it has waited so long for a result, of any request.
    private static readonly TimeSpan LookAfter = TimeSpan.FromSeconds(1);

    public TimeSpan PingInterval => Timeout.InfiniteTimeSpan;

    public bool IsAbandoned
    {
        get
        {
            var (decoder, time) = (exchange.Simulation.Decoder, exchange.Simulation.Time);
            return exchange.Aborted.IsCancellationRequested && (decoder.LastResult == 0 || time.GetElapsedTime(decoder.LastResult) >= LookAfter);
        }
    }

    public ValueTask GrantedAsync(Generation generation) => ValueTask.CompletedTask;

    public ValueTask PromptProgressAsync(Generation generation) => ValueTask.CompletedTask;

    public ValueTask TokenAsync(Generation generation, string text) => ValueTask.CompletedTask;

    public ValueTask EndedAsync(Generation generation) => ValueTask.CompletedTask;

    public ValueTask PingAsync() => ValueTask.CompletedTask;
}
