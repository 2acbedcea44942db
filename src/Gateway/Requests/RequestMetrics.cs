using System.Diagnostics.Metrics;
using LlmGateway.Gateway.Models;

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
internal sealed class RequestMetrics
{
    public const string MeterName = "LlmGateway.Requests";

    private readonly Counter<long> _requests;
    private readonly Histogram<double> _duration;
    private readonly Histogram<double> _firstToken;
    private readonly Histogram<double> _perToken;
    private readonly UpDownCounter<long> _inFlight;
    private readonly Counter<long> _promptTokens;
    private readonly Counter<long> _completionTokens;

    public RequestMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(MeterName);
        _requests = meter.CreateCounter<long>("llmgateway_requests", description: "Requests by how they ended.");
        _duration = Histogram(meter, "llmgateway_request_duration", "From arrival to the last byte.", [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600]);
        _firstToken = Histogram(meter, "llmgateway_time_to_first_token", "Streams: from arrival to the first token.", [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]);
        _perToken = Histogram(meter, "llmgateway_time_per_output_token", "Streams: mean time between two tokens of one answer.", [0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5]);
        _inFlight = meter.CreateUpDownCounter<long>("llmgateway_requests_in_flight", description: "Requests in the gateway, queued ones included.");
        _promptTokens = meter.CreateCounter<long>("llmgateway_prompt_tokens", description: "Prompt tokens, by whether the backend's cache held them.");
        _completionTokens = meter.CreateCounter<long>("llmgateway_completion_tokens", description: "Tokens generated.");
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

    public void Began(string model) => _inFlight.Add(1, new KeyValuePair<string, object?>("model", model));

    public void Finished(string model) => _inFlight.Add(-1, new KeyValuePair<string, object?>("model", model));

    public void Ended(string model, string endpoint, int status, RequestOutcome outcome) =>
        _requests.Add(1, new("model", model), new("endpoint", endpoint), new("code", status), new("outcome", Name(outcome)));

    public void Took(string model, bool stream, TimeSpan duration) =>
        _duration.Record(duration.TotalSeconds, new("model", model), new("stream", stream ? "true" : "false"));

    public void FirstToken(string model, Priority priority, TimeSpan duration) =>
        _firstToken.Record(duration.TotalSeconds, new("model", model), new("priority", priority.ToLabel()));

    public void PerToken(string model, TimeSpan mean) => _perToken.Record(mean.TotalSeconds, new KeyValuePair<string, object?>("model", model));

    public void Tokens(string model, string key, long prompt, long cached, long completion)
    {
        _promptTokens.Add(prompt - cached, new("model", model), new("key", key), new("cached", "false"));
        _promptTokens.Add(cached, new("model", model), new("key", key), new("cached", "true"));
        _completionTokens.Add(completion, new("model", model), new("key", key));
    }
}
