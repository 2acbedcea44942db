namespace LlmGateway.Gateway.Requests;

/// <summary>When a request came in, before anything was done for it: a feature of its context.</summary>
/// <param name="Timestamp">Of the gateway's TimeProvider.</param>
internal sealed record Arrival(long Timestamp);
