using System.Diagnostics;

namespace LlmGateway.Gateway.Telemetry;

/// <summary>The gateway's spans. None is made while nobody exports them; none holds a word of a prompt or an answer.</summary>
internal static class Traces
{
    /// <summary>All sources of the gateway: this one and those of the floors below.</summary>
    public const string Sources = "LlmGateway*";

    private static readonly ActivitySource Source = new("LlmGateway");

    /// <summary>The span of a request, as the child of the client's own span when the request names one.</summary>
    /// <param name="traceParent">The header, or null.</param>
    /// <param name="traceState">The header, or null.</param>
    public static Activity? StartRequest(string? traceParent, string? traceState)
    {
        if (!Source.HasListeners())
        {
            return null;
        }

        // Without a parent of its own it would become the child of the web server's span, which is not exported.
        Activity.Current = null;
        ActivityContext.TryParse(traceParent, traceState, isRemote: true, out var parent);
        return Source.StartActivity("request", ActivityKind.Server, parent);
    }

    /// <summary>A part of a request; null when the request is not traced.</summary>
    public static Activity? StartPart(Activity? request, string name, ActivityKind kind = ActivityKind.Internal) =>
        request is null ? null : Source.StartActivity(name, kind, request.Context);

    /// <summary>Marks a span as failed.</summary>
    /// <param name="span">The span.</param>
    /// <param name="type">What failed, from a closed list.</param>
    public static void Fail(this Activity? span, string type) => span?.SetTag("error.type", type).SetStatus(ActivityStatusCode.Error);
}
