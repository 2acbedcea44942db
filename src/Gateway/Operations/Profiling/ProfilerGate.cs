namespace LlmGateway.Gateway.Operations.Profiling;

/// <summary>Lets one profile of a kind run at a time.</summary>
internal sealed class ProfilerGate
{
    private readonly int[] _running = new int[Enum.GetValues<ProfileKind>().Length];

    public bool IsRunning(ProfileKind kind) => Volatile.Read(ref _running[(int)kind]) != 0;

    /// <summary>Takes the place of a kind until it is disposed; null when it is taken.</summary>
    public IDisposable? TryEnter(ProfileKind kind) => Interlocked.CompareExchange(ref _running[(int)kind], 1, 0) == 0 ? new Place(this, kind) : null;

    private sealed class Place(ProfilerGate gate, ProfileKind kind) : IDisposable
    {
        private int _left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _left, 1) == 0)
            {
                Volatile.Write(ref gate._running[(int)kind], 0);
            }
        }
    }
}
