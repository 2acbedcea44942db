namespace LlmGateway.ProcessManager.Replicas;

/// <summary>What the gateway has on one replica at one moment.</summary>
/// <param name="InFlight">Slots that its requests hold, and those given up that the server may still work on.</param>
/// <param name="AwaitingFirstToken">Streams that wait for their first token.</param>
/// <param name="Whole">Requests for an answer that is no stream: nothing is seen of it before its end.</param>
/// <param name="Bytes">Bytes of answers so far, comments not counted. Only goes up.</param>
public readonly record struct TrafficLook(int InFlight, int AwaitingFirstToken, int Whole, long Bytes);
