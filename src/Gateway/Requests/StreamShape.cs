namespace LlmGateway.Gateway.Requests;

/// <summary>What a stream's end is known by.</summary>
/// <param name="Dialect">Whose API it is.</param>
/// <param name="Ends">Answers that end one by one, in llama.cpp's own API; 1 elsewhere.</param>
/// <param name="PicksFields">True when the client has named the fields that an answer's last event is to have: its mark may be none of them.</param>
internal readonly record struct StreamShape(ApiDialect Dialect, int Ends = 1, bool PicksFields = false);
