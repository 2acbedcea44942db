using System.Diagnostics;

namespace LlmGateway.Gateway.Requests;

/// <summary>What is known of a call before anything is read of its body: a feature of its context.</summary>
/// <param name="timestamp">Of the gateway's TimeProvider, before anything was done for it.</param>
/// <param name="span">Its span, while somebody exports spans.</param>
internal sealed class Arrival(long timestamp, Activity? span)
{
    public long Timestamp { get; } = timestamp;

    public Activity? Span { get; } = span;

    /// <summary>Who calls; nobody in particular until the keys have been looked at.</summary>
    public Caller Caller { get; set; } = Caller.Anonymous;
}
