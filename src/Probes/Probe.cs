namespace LlmGateway.Probes;

/// <summary>One question to one backend. Each check is one request, never retried.</summary>
public abstract class Probe : IDisposable
{
    private readonly TimeSpan _timeout;

    private protected Probe(TimeSpan timeout, TimeProvider time) => (_timeout, Time) = (timeout, time);

    private protected TimeProvider Time { get; }

    /// <summary>Makes the probe that <paramref name="options"/> describe.</summary>
    /// <param name="options">What to ask; <see cref="ProbeKind.Progress"/> is not a question and is refused.</param>
    /// <param name="address">The backend.</param>
    /// <param name="apiKey">Sent as a bearer token, to the backend's own address only.</param>
    /// <param name="time">The clock of the timeout.</param>
    /// <exception cref="ArgumentException">The kind can't be asked, or an exec probe has no command.</exception>
    public static Probe Create(ProbeOptions options, BackendAddress address, string? apiKey, TimeProvider time)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(address);
        ArgumentNullException.ThrowIfNull(time);
        return options.Kind switch
        {
            ProbeKind.Http => new HttpProbe(options, address, apiKey, time),
            ProbeKind.Tcp => new TcpProbe(options, address, time),
            ProbeKind.Exec => new ExecProbe(options, time),
            _ => throw new ArgumentException($"A probe of kind {options.Kind} asks nothing.", nameof(options)),
        };
    }

    /// <summary>Asks once. Never throws for what the backend does; only for <paramref name="cancellationToken"/>.</summary>
    public async Task<ProbeResult> CheckAsync(CancellationToken cancellationToken)
    {
        var started = Time.GetTimestamp();
        using var timeout = new CancellationTokenSource(_timeout, Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            return await AskAsync(started, either.Token);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var reason = timeout.IsCancellationRequested ? ProbeReason.Timeout : Failure.ReasonOf(e);
            return ProbeResult.Fail(reason, Time.GetElapsedTime(started));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    private protected abstract Task<ProbeResult> AskAsync(long started, CancellationToken cancellationToken);

    /// <summary>Releases connections.</summary>
    protected virtual void Dispose(bool disposing)
    {
    }
}
