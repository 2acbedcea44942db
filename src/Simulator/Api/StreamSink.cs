using LlmGateway.Simulator.Engine;
using LlmGateway.Simulator.Injection;
using Microsoft.AspNetCore.Connections.Features;

namespace LlmGateway.Simulator.Api;

/// <summary>Writes an answer as server-sent events, each token in a chunk of its own, and breaks it where the faults say.</summary>
internal sealed class StreamSink(Exchange exchange, AnswerRequest request, Dialect dialect) : IGenerationSink, IDisposable
{
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly SseWriter _events = new();
    private readonly HashSet<int> _opened = [];
    private bool _started;

    public TimeSpan PingInterval { get; } =
        exchange.Simulation.Settings.SsePingSeconds <= 0 ? Timeout.InfiniteTimeSpan : TimeSpan.FromSeconds(exchange.Simulation.Settings.SsePingSeconds);

    public bool IsAbandoned => exchange.Aborted.IsCancellationRequested;

    private Faults Faults => exchange.Simulation.Faults.Current;

    public async ValueTask GrantedAsync(Generation generation)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_started)
            {
                return;
            }

            _started = true;
            exchange.Http.Response.Headers["X-Accel-Buffering"] = "no";
            exchange.Http.Response.ContentType = "text/event-stream";
            await exchange.Http.Response.StartAsync().ConfigureAwait(false);
            await exchange.Http.Response.BodyWriter.FlushAsync().ConfigureAwait(false);

            // After the headers, so that they do not announce it: the real server closes behind a stream without saying so.
            exchange.Http.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
            if (request.ReturnProgress)
            {
                dialect.PromptProgress(_events, generation);
                await FlushAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            _turn.Release();
        }
    }

    public async ValueTask PromptProgressAsync(Generation generation)
    {
        if (request.ReturnProgress)
        {
            await WriteAsync(generation, static (sink, g) => sink.Dialect.PromptProgress(sink._events, g)).ConfigureAwait(false);
        }
    }

    public async ValueTask TokenAsync(Generation generation, string text)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            // In place of the next token: what was sent before has had time to arrive.
            if (generation.Predicted > Faults.DropAfterTokens)
            {
                await DropAsync().ConfigureAwait(false);
            }

            if (_opened.Add(generation.Index))
            {
                dialect.Open(_events, generation);
            }

            dialect.Token(_events, generation, text);
            if (Faults.SplitUtf8)
            {
                await FlushInsideACharacterAsync().ConfigureAwait(false);
            }

            await FlushAsync().ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    public async ValueTask EndedAsync(Generation generation)
    {
        if (Faults.DropAfterTokens is not null)
        {
            await DropAsync().ConfigureAwait(false);
        }

        await WriteAsync(generation, static (sink, g) =>
        {
            if (sink._opened.Add(g.Index))
            {
                sink.Dialect.Open(sink._events, g);
            }

            sink.Dialect.Close(sink._events, g);
        }).ConfigureAwait(false);
    }

    public ValueTask PingAsync() => WriteAsync(null!, static (sink, _) => sink._events.Raw(":\n\n"u8));

    public ValueTask DoneAsync() => WriteAsync(null!, static (sink, _) => sink.Dialect.Done(sink._events));

    public ValueTask ErrorAsync(ApiException error) => WriteAsync(null!, (sink, _) => sink._events.Event(error.Write));

    public void Dispose()
    {
        _turn.Dispose();
        _events.Dispose();
    }

    private Dialect Dialect => dialect;

    private async ValueTask WriteAsync(Generation generation, Action<StreamSink, Generation> write)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            write(this, generation);
            await FlushAsync().ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    private async ValueTask FlushAsync()
    {
        if (_events.Written.Length > 0)
        {
            await exchange.Http.Response.BodyWriter.WriteAsync(_events.Written).ConfigureAwait(false);
            _events.Clear();
        }
    }

    // Sends up to the middle of the first character that has one, as a chunk of its own.
    private async ValueTask FlushInsideACharacterAsync()
    {
        var cut = _events.Written.Span.IndexOfAnyInRange((byte)0xC2, (byte)0xF4) + 1;
        if (cut > 0)
        {
            var rest = _events.Written[cut..].ToArray();
            await exchange.Http.Response.BodyWriter.WriteAsync(_events.Written[..cut]).ConfigureAwait(false);
            _events.Clear();
            _events.Raw(rest);
        }
    }

    private async Task DropAsync()
    {
        var how = Faults.DropBy;
        if (how is DropMode.HalfClose or DropMode.HalfEnd)
        {
            _events.Raw("data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"cont"u8);
            await FlushAsync().ConfigureAwait(false);
        }

        switch (how)
        {
            case DropMode.Reset:
                await Breakage.ResetAsync(exchange.Http).ConfigureAwait(false);
                break;
            case DropMode.Close or DropMode.HalfClose:
                await Breakage.CloseAsync(exchange.Http).ConfigureAwait(false);
                break;
            default:
                throw new BrokenOffException();
        }
    }
}
