using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>Runs the generations of a request and answers in a dialect.</summary>
internal static class Answer
{
    public static Task SendAsync(Exchange exchange, AnswerRequest request, Dialect dialect) =>
        request.Stream ? StreamAsync(exchange, request, dialect) : WholeAsync(exchange, request, dialect);

    /// <summary>Runs all generations side by side, each in a slot of its own.</summary>
    /// <exception cref="ApiException">500: the common context is full.</exception>
    public static async Task RunAsync(Exchange exchange, IReadOnlyList<Generation> generations, IGenerationSink sink)
    {
        var decoder = exchange.Simulation.Decoder;
        if (generations is [var only])
        {
            using var pacer = new Pacer(exchange.Simulation.Time);
            await decoder.RunAsync(only, sink, pacer).ConfigureAwait(false);
            return;
        }

        var pacers = generations.Select(_ => new Pacer(exchange.Simulation.Time)).ToArray();
        try
        {
            await Task.WhenAll(generations.Select((g, i) => decoder.RunAsync(g, sink, pacers[i]))).ConfigureAwait(false);
        }
        finally
        {
            Array.ForEach(pacers, p => p.Dispose());
        }
    }

    private static async Task WholeAsync(Exchange exchange, AnswerRequest request, Dialect dialect)
    {
        try
        {
            await RunAsync(exchange, request.Generations, new SilentSink(exchange)).ConfigureAwait(false);
        }
        catch (ContextFullException)
        {
            throw ContextFull();
        }

        await exchange.ReplyAsync(dialect.Whole).ConfigureAwait(false);
    }

    private static async Task StreamAsync(Exchange exchange, AnswerRequest request, Dialect dialect)
    {
        using var sink = new StreamSink(exchange, request, dialect);
        try
        {
            await RunAsync(exchange, request.Generations, sink).ConfigureAwait(false);
            await sink.DoneAsync().ConfigureAwait(false);
        }
        catch (ContextFullException)
        {
            // The status is sent already: the error is an event, and the stream ends without its end.
            await sink.ErrorAsync(ContextFull()).ConfigureAwait(false);
        }
        catch (StoppedException)
        {
            // The last chunk is sent, nothing else.
        }
    }

    private static ApiException ContextFull() => ApiException.Server("Context size has been exceeded.");
}
