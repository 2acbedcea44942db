using System.Diagnostics.Metrics;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Telemetry;

namespace LlmGateway.Gateway.Requests;

/// <summary>How a request ended: exactly one for each.</summary>
internal enum RequestOutcome
{
    Ok,
    ClientError,
    Rejected,
    Expired,
    NoBackend,
    CancelledQueued,
    CancelledInFlight,
    BackendError,
    StreamBroken,
    Timeout,
}

/// <summary>The requests' numbers. Label values come from the configuration or from a closed list, never from a request.</summary>
internal sealed class RequestMetrics : IDisposable
{
    public const string MeterName = "LlmGateway.Requests";

    /// <summary>The model of requests that name none that is configured.</summary>
    public const string NoModel = "none";

    private readonly SubjectMeters<ModelInstruments> _models;
    private readonly Histogram<double> _overhead;

    public RequestMetrics(IMeterFactory meters, LiveCatalogue live)
    {
        _models = new(meters, MeterName, (meter, model) => new(meter, model, [.. live.Options.Keys.Select(key => key.Name).DefaultIfEmpty(Caller.Anonymous.Name)]));
        var meter = meters.Create(MeterName);
        _overhead = Histogram(meter, "llmgateway_overhead", "What the gateway itself adds before a request's first token, by phase; waiting for a slot, the backend or the client is not in it.",
            [25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3]);

        // Looked at with each scrape: a model that has left the configuration takes its series along.
        meter.CreateObservableGauge("llmgateway_models", () => Known(live.Current), description: "Configured models.");
        Known(live.Current);
    }

    private int Known(ModelCatalogue catalogue)
    {
        var models = catalogue.Models;
        var names = models.Select(model => model.Name).ToHashSet(StringComparer.Ordinal);
        _models.KeepOnly(model => model == NoModel || names.Contains(model));
        foreach (var name in names)
        {
            // All its zeros are there before its first request.
            _models.For(name);
        }

        return names.Count;
    }

    private static Histogram<double> Histogram(Meter meter, string name, string description, double[] buckets) =>
        meter.CreateHistogram(name, "s", description, tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = buckets });

    public static string Name(RequestOutcome outcome) => outcome switch
    {
        RequestOutcome.Ok => "ok",
        RequestOutcome.ClientError => "client_error",
        RequestOutcome.Rejected => "rejected",
        RequestOutcome.Expired => "expired",
        RequestOutcome.NoBackend => "no_backend",
        RequestOutcome.CancelledQueued => "cancelled_queued",
        RequestOutcome.CancelledInFlight => "cancelled_in_flight",
        RequestOutcome.BackendError => "backend_error",
        RequestOutcome.StreamBroken => "stream_broken",
        RequestOutcome.Timeout => "timeout",
        _ => throw new ArgumentOutOfRangeException(nameof(outcome)),
    };

    /// <summary>The outcome that a refusal stands for.</summary>
    public static RequestOutcome OutcomeOf(ApiError error) => error.Code switch
    {
        "queue_timeout" or "deadline_unreachable" => RequestOutcome.Expired,
        "no_backend" or "model_loading_failed" or "insufficient_memory" or "shutting_down" => RequestOutcome.NoBackend,
        "backend_timeout" => RequestOutcome.Timeout,
        _ when error.Status == 429 => RequestOutcome.Rejected,
        _ when error.Status >= 500 => RequestOutcome.BackendError,
        _ => RequestOutcome.ClientError,
    };

    public void Began(string model) => _models.For(model).Entered(1);

    public void Finished(string model) => _models.For(model).Entered(-1);

    public void Ended(string model, string endpoint, int status, RequestOutcome outcome) => _models.For(model).Ended(model, endpoint, status, outcome, 1);

    public void Took(string model, bool stream, TimeSpan duration) =>
        _models.For(model).Duration.Record(duration.TotalSeconds, new("model", model), new("stream", stream ? "true" : "false"));

    public void FirstToken(string model, Priority priority, TimeSpan duration) =>
        _models.For(model).FirstToken.Record(duration.TotalSeconds, new("model", model), new("priority", priority.ToLabel()));

    public void PerToken(string model, TimeSpan mean) => _models.For(model).PerToken.Record(mean.TotalSeconds, new KeyValuePair<string, object?>("model", model));

    public void Tokens(string model, string key, long prompt, long cached, long completion) => _models.For(model).Tokens(model, key, prompt, cached, completion);

    /// <summary>What became of a stream whose backend broke off after the first byte, where it may be continued.</summary>
    public void Recovered(string model, string result) => _models.For(model).Recoveries.Add(1, new("model", model), new("result", result));

    /// <summary>What the gateway's own part of one request was.</summary>
    public void Overhead(OverheadClock clock)
    {
        foreach (var phase in OverheadClock.Phases)
        {
            _overhead.Record(clock.Of(phase).TotalSeconds, new KeyValuePair<string, object?>("phase", OverheadClock.Name(phase)));
        }

        _overhead.Record(clock.Total.TotalSeconds, new KeyValuePair<string, object?>("phase", "total"));
    }

    public void Dispose() => _models.Dispose();

    /// <summary>The instruments of one model.</summary>
    private sealed class ModelInstruments
    {
        private readonly Counter<long> _requests;
        private readonly Counter<long> _promptTokens;
        private readonly Counter<long> _completionTokens;
        private long _inFlight;

        public ModelInstruments(Meter meter, string model, string[] keys)
        {
            _requests = meter.CreateCounter<long>("llmgateway_requests", description: "Requests by how they ended.");
            Duration = Histogram(meter, "llmgateway_request_duration", "From arrival to the last byte.", [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600]);
            FirstToken = Histogram(meter, "llmgateway_time_to_first_token", "Streams: from arrival to the first token.", [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]);
            PerToken = Histogram(meter, "llmgateway_time_per_output_token", "Streams: mean time between two tokens of one answer.", [0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5]);
            if (model != NoModel)
            {
                meter.CreateObservableUpDownCounter(
                    "llmgateway_requests_in_flight",
                    () => new Measurement<long>(Volatile.Read(ref _inFlight), new KeyValuePair<string, object?>("model", model)),
                    description: "Requests in the gateway, queued ones included.");
            }

            _promptTokens = meter.CreateCounter<long>("llmgateway_prompt_tokens", description: "Prompt tokens, by whether the backend's cache held them.");
            _completionTokens = meter.CreateCounter<long>("llmgateway_completion_tokens", description: "Tokens generated.");
            Recoveries = meter.CreateCounter<long>("llmgateway_stream_recoveries", description: "Streams whose backend broke off, by whether another one said the rest.");
            if (model != NoModel)
            {
                BeginAtZero(model, keys);
            }
        }

        public Histogram<double> Duration { get; }

        public Histogram<double> FirstToken { get; }

        public Histogram<double> PerToken { get; }

        public Counter<long> Recoveries { get; }

        public void Entered(int count) => Interlocked.Add(ref _inFlight, count);

        public void Ended(string model, string endpoint, int status, RequestOutcome outcome, int count) =>
            _requests.Add(count, new("model", model), new("endpoint", endpoint), new("code", status), new("outcome", Name(outcome)));

        public void Tokens(string model, string key, long prompt, long cached, long completion)
        {
            _promptTokens.Add(prompt - cached, new("model", model), new("key", key), new("cached", "false"));
            _promptTokens.Add(cached, new("model", model), new("key", key), new("cached", "true"));
            _completionTokens.Add(completion, new("model", model), new("key", key));
        }

        // A rate sees nothing of a counter's first value. Each endpoint begins with its good outcome, chat with every one.
        private void BeginAtZero(string model, string[] keys)
        {
            foreach (var result in (ReadOnlySpan<string>)["recovered", "failed", "not_possible"])
            {
                Recoveries.Add(0, new("model", model), new("result", result));
            }

            foreach (var endpoint in InferenceEndpoint.All)
            {
                Ended(model, endpoint.Name, StatusCodes.Status200OK, RequestOutcome.Ok, 0);
            }

            foreach (var outcome in Enum.GetValues<RequestOutcome>())
            {
                Ended(model, InferenceEndpoint.All[0].Name, UsualStatus(outcome), outcome, 0);
            }

            foreach (var key in keys.Take(MostKeysAtZero))
            {
                Tokens(model, key, 0, 0, 0);
            }
        }
    }

    /// <summary>Keys whose token counters stand there before their first token.</summary>
    private const int MostKeysAtZero = 100;

    private static int UsualStatus(RequestOutcome outcome) => outcome switch
    {
        RequestOutcome.Ok or RequestOutcome.StreamBroken => StatusCodes.Status200OK,
        RequestOutcome.ClientError => StatusCodes.Status400BadRequest,
        RequestOutcome.Rejected or RequestOutcome.Expired => StatusCodes.Status429TooManyRequests,
        RequestOutcome.NoBackend => StatusCodes.Status503ServiceUnavailable,
        RequestOutcome.CancelledQueued or RequestOutcome.CancelledInFlight => StatusCodes.Status499ClientClosedRequest,
        RequestOutcome.BackendError => StatusCodes.Status502BadGateway,
        RequestOutcome.Timeout => StatusCodes.Status504GatewayTimeout,
        _ => throw new ArgumentOutOfRangeException(nameof(outcome)),
    };
}
