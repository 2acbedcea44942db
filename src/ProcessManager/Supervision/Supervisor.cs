using System.Threading.Channels;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision.Liveness;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>Keeps one replica: a mailbox, one reader, and pure <see cref="ReplicaTransitions"/> in between.</summary>
/// <remarks>
/// Order within one event: decide, publish, act. So whoever dispatches work reads "draining" before the drain is waited for, and no
/// longer reads "ready" before anything is done about a death.
/// </remarks>
internal sealed class Supervisor : IAsyncDisposable
{
    private const int MailboxSize = 1024;
    private readonly Channel<Mail> _mailbox = Channel.CreateBounded<Mail>(new BoundedChannelOptions(MailboxSize) { SingleReader = true });
    private ReplicaSetOptions _options;
    private readonly int _index;
    private readonly ReplicaSurroundings _around;
    private readonly ReplicaEffects _effects;
    private readonly Action<ReplicaStatus> _publish;
    private readonly ReplicaMetrics _metrics;
    private readonly List<Waiter> _waiters = [];
    private readonly OutputFile? _file;
    private readonly long _born;
    private readonly Task _loop;
    private ReplicaStatus _status;

    public Supervisor(
        ReplicaSetOptions options, int index, ReplicaSurroundings around, LivenessPool pool, IReplicaTraffic traffic, Action<ReplicaStatus> publish)
    {
        (_options, _index, _around, _publish, _born) = (options, index, around, publish, around.Time.GetTimestamp());
        _file = around.Files?.Open(options.Model, index);
        Output = new(also: _file is { } file ? (generation, line) => file.Add(around.Time.GetUtcNow(), generation, line) : null);
        _metrics = new($"{options.Model}/{index}", around.Metrics?.Meters);
        _effects = new(options, index, around, pool, traffic, Output, Post);
        _status = ReplicaStatusView.Of(options, index, new(), TimeSpan.Zero);
        _loop = Task.Run(RunAsync);
    }

    public OutputRing Output { get; }

    public ReplicaStatus Status => Volatile.Read(ref _status);

    /// <summary>Takes over what asks for no other process: of another revision only how long a drain may take.</summary>
    public void Adopt(ReplicaSetOptions options)
    {
        var adopted = options.Revision == _options.Revision ? options : _options with { DrainTimeout = options.DrainTimeout };
        Volatile.Write(ref _options, adopted);
        _effects.Adopt(adopted);
    }

    /// <summary>Asks, and completes when it has been carried out.</summary>
    public async Task CommandAsync(ReplicaVerb verb, CancellationToken cancellationToken)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            await _mailbox.Writer.WriteAsync(new(new SupervisorEvent.Asked(verb), done), cancellationToken);
        }
        catch (ChannelClosedException)
        {
            throw new ObjectDisposedException(nameof(IReplicaSet));
        }

        using (cancellationToken.UnsafeRegister(_ => done.TrySetCanceled(cancellationToken), null))
        {
            await done.Task;
        }
    }

    /// <summary>Asks, and does not wait.</summary>
    public void Ask(ReplicaVerb verb) => Post(new SupervisorEvent.Asked(verb));

    /// <summary>Ends the process and returns when it is gone. A cancelled token does not end the wait: it skips what is left of drain and grace.</summary>
    public async Task StopAsync(CancellationToken hurry)
    {
        var stopped = CommandAsync(ReplicaVerb.Stop, CancellationToken.None);
        using var registration = hurry.Register(() => Post(new SupervisorEvent.HurryAsked()));
        await stopped;
    }

    /// <summary>Ends the process without grace, then the loop.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_mailbox.Reader.Completion.IsCompleted)
        {
            return;
        }

        try
        {
            await StopAsync(new CancellationToken(canceled: true));
        }
        catch (ObjectDisposedException)
        {
            // Disposed twice at a time.
        }

        _mailbox.Writer.TryComplete();
        await _loop;
    }

    /// <summary>Never lost while the loop runs: a full mailbox is waited for, beside the caller.</summary>
    private void Post(SupervisorEvent @event)
    {
        if (!_mailbox.Writer.TryWrite(new(@event, null)))
        {
            _ = PostLaterAsync(@event);
        }
    }

    private async Task PostLaterAsync(SupervisorEvent @event)
    {
        try
        {
            await _mailbox.Writer.WriteAsync(new(@event, null));
        }
        catch (ChannelClosedException)
        {
            // The supervisor is gone, and its process before it.
        }
    }

    private async Task RunAsync()
    {
        var replica = new Replica();
        await foreach (var mail in _mailbox.Reader.ReadAllAsync())
        {
            var now = new Circumstances(Volatile.Read(ref _options), _around.Time.GetElapsedTime(_born), _around.Time.GetUtcNow(), _around.Random());
            if (mail is { Done: { } done, Event: SupervisorEvent.Asked asked })
            {
                _waiters.Add(new(asked.Verb, replica.Generation, done));
            }

            var step = Decide(replica, mail.Event, now);
            var before = replica;
            replica = step.Next;
            Publish(before, replica, now);
            foreach (var effect in step.Effects)
            {
                Start(effect);
            }

            CompleteWaiters(replica);
        }

        _effects.Dispose();
        _metrics.Dispose();
        if (_file is { } file)
        {
            _around.Files!.Close(file);
        }

        _around.Metrics?.Remove(_status.Backend);
        _waiters.ForEach(waiter => waiter.Done.TrySetCanceled());
    }

    /// <summary>A fault in a decision costs that event, not the supervisor: a process without one would never be stopped.</summary>
    private Step Decide(Replica replica, SupervisorEvent @event, in Circumstances now)
    {
        try
        {
            return ReplicaTransitions.Apply(replica, @event, now);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Log.EffectFailed(_around.Logger, _status.Backend, @event.GetType().Name, e);
            return new(replica, []);
        }
    }

    private void Publish(Replica before, Replica replica, in Circumstances now)
    {
        if (ReferenceEquals(before, replica))
        {
            return;
        }

        var status = ReplicaStatusView.Of(_options, _index, replica, now.Now);
        if (status == _status)
        {
            return;
        }

        Volatile.Write(ref _status, status);
        _metrics.Observe(before, replica, now.WallNow);
        StateLog.Write(_around.Logger, before, replica, status, now);
        try
        {
            _publish(status);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Log.ListenerFailed(_around.Logger, status.Backend, e);
        }
    }

    private void Start(Effect effect)
    {
        try
        {
            _effects.Start(effect);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // One replica's trouble must not end its supervisor.
            Log.EffectFailed(_around.Logger, _status.Backend, effect.GetType().Name, e);
        }
    }

    private void CompleteWaiters(Replica replica) => _waiters.RemoveAll(waiter =>
    {
        var isDone = waiter.Done.Task.IsCompleted || CommandProgress.IsDone(waiter.Verb, waiter.Generation, replica);
        if (isDone)
        {
            waiter.Done.TrySetResult();
        }

        return isDone;
    });

    private readonly record struct Mail(SupervisorEvent Event, TaskCompletionSource? Done);

    private readonly record struct Waiter(ReplicaVerb Verb, int Generation, TaskCompletionSource Done);
}
