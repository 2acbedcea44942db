namespace LlmGateway.ProcessManager.Launching;

/// <summary>How many processes may load at a time, first come first served: loading saturates disk and memory, and a storm of restarts would starve them all.</summary>
internal sealed class StartPermits(int count) : IDisposable
{
    private readonly SemaphoreSlim _semaphore = new(count, count);

    /// <summary>Completes in turn; dispose the permit when the process is up, or gone.</summary>
    public async Task<IDisposable> AcquireAsync(CancellationToken cancellationToken)
    {
        await _semaphore.WaitAsync(cancellationToken);
        return new Permit(_semaphore);
    }

    public void Dispose() => _semaphore.Dispose();

    private sealed class Permit(SemaphoreSlim semaphore) : IDisposable
    {
        private SemaphoreSlim? _semaphore = semaphore;

        public void Dispose() => Interlocked.Exchange(ref _semaphore, null)?.Release();
    }
}
