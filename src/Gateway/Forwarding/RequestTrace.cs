using System.Diagnostics;
using System.Text.Json;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Telemetry;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>What a request's spans say, by OpenTelemetry's conventions for generative AI where they have a word for it. Nothing that a client wrote but its model and its kind of call.</summary>
internal static class RequestTrace
{
    /// <summary>Says on the request's span what is asked for.</summary>
    public static void Describe(Activity? span, InferenceRequest request)
    {
        if (span is null)
        {
            return;
        }

        Name(span, request);
        span.SetTag("http.route", request.Endpoint.Paths[0])
            .SetTag("llmgateway.request.id", request.Id)
            .SetTag("llmgateway.key", request.Key)
            .SetTag("llmgateway.priority", request.Priority.ToLabel());
    }

    /// <summary>The wait for a slot.</summary>
    public static Activity? StartQueue(Activity? span) => Traces.StartPart(span, "queue");

    public static void EndQueue(Activity? queue, Scheduling.SlotLease lease)
    {
        queue?.SetTag("llmgateway.backend", lease.IsAcquired ? lease.Backend.Name : null);
        if (lease.Refusal is { } refusal)
        {
            queue.Fail(refusal.Code);
        }
    }

    /// <summary>One try on one backend.</summary>
    public static Activity? StartAttempt(Activity? span, InferenceRequest request, Backend backend, int number)
    {
        var attempt = Traces.StartPart(span, "attempt", ActivityKind.Client);
        if (attempt is not null)
        {
            Name(attempt, request);
            var uri = backend.Address.BaseUri;
            attempt.SetTag("server.address", uri.Host).SetTag("server.port", uri.Port).SetTag("llmgateway.backend", backend.Name).SetTag("llmgateway.attempt", number);
        }

        return attempt;
    }

    /// <param name="span">The attempt's.</param>
    /// <param name="status">What the backend answered with, or 0.</param>
    /// <param name="end">How it ended.</param>
    public static void EndAttempt(Activity? span, int status, AttemptEnd end)
    {
        if (span is null)
        {
            return;
        }

        var word = JsonNamingPolicy.SnakeCaseLower.ConvertName(end.ToString());
        span.SetTag("llmgateway.attempt.end", word);
        if (status != 0)
        {
            span.SetTag("http.response.status_code", status);
        }

        if (end is not (AttemptEnd.Complete or AttemptEnd.ClientGone))
        {
            span.Fail(word);
        }
    }

    /// <summary>The first token is in hand.</summary>
    public static void FirstToken(Activity? span, Activity? attempt, TimeSpan sinceArrival)
    {
        attempt?.AddEvent(new ActivityEvent("first_token"));
        span?.SetTag("gen_ai.response.time_to_first_chunk", sinceArrival.TotalSeconds);
    }

    /// <summary>What the answer cost.</summary>
    public static void Usage(Activity? span, TokenUsage usage) => span?
        .SetTag("gen_ai.usage.input_tokens", usage.Prompt)
        .SetTag("gen_ai.usage.output_tokens", usage.Completion)
        .SetTag("gen_ai.usage.cache_read.input_tokens", usage.Cached);

    /// <summary>How the request ended.</summary>
    public static void End(Activity? span, RequestOutcome outcome)
    {
        var word = RequestMetrics.Name(outcome);
        span?.SetTag("llmgateway.outcome", word);
        if (outcome is RequestOutcome.BackendError or RequestOutcome.StreamBroken or RequestOutcome.Timeout or RequestOutcome.NoBackend)
        {
            span.Fail(word);
        }
    }

    private static void Name(Activity span, InferenceRequest request)
    {
        var operation = request.Endpoint.Name switch
        {
            "chat_completions" or "messages" or "responses" => "chat",
            "completions" or "completion" or "infill" => "text_completion",
            "embeddings" or "embedding" => "embeddings",
            var other => other,
        };
        span.DisplayName = $"{operation} {request.Model.Name}";
        span.SetTag("gen_ai.operation.name", operation)
            .SetTag("gen_ai.provider.name", "llama.cpp")
            .SetTag("gen_ai.request.model", request.Model.Name)
            .SetTag("gen_ai.request.stream", request.Stream);
    }
}
