namespace LlmGateway.Gateway.Backends;

/// <summary>What the answers of one backend have brought so far. Written by many requests at once, read once a second.</summary>
internal sealed class BackendTraffic
{
    private long _bytes;
    private int _awaitingFirstToken;
    private int _whole;

    /// <summary>Bytes of answers, comments not counted.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    /// <summary>Streams that wait for their first token.</summary>
    public int AwaitingFirstToken => Volatile.Read(ref _awaitingFirstToken);

    /// <summary>Requests for an answer that is no stream.</summary>
    public int Whole => Volatile.Read(ref _whole);

    /// <summary>Something has come that is more than a sign of life.</summary>
    public void Came(int bytes) => Interlocked.Add(ref _bytes, bytes);

    /// <summary>A request is sent.</summary>
    public void Began(bool isStream) => Interlocked.Increment(ref isStream ? ref _awaitingFirstToken : ref _whole);

    /// <summary>A stream has its first token, or will never have one; or an answer that is no stream has ended.</summary>
    public void Settled(bool isStream) => Interlocked.Decrement(ref isStream ? ref _awaitingFirstToken : ref _whole);
}
