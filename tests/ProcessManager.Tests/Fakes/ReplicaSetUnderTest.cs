using System.Collections.Concurrent;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Sampling;
using LlmGateway.ProcessManager.Supervision;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace LlmGateway.ProcessManager.Tests.Fakes;

/// <summary>A replica set with real processes, and every status that it published.</summary>
internal sealed class ReplicaSetUnderTest : IAsyncDisposable
{
    /// <summary>Patient: the machine may have other things to do. Only a test that fails waits for it.</summary>
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);
    private readonly ReplicaSetFactory _factory;
    private readonly ConcurrentQueue<ReplicaStatus> _history = new();
    private readonly Lock _gate = new();
    private readonly List<(Func<ReplicaStatus, bool> Condition, TaskCompletionSource<ReplicaStatus> Done)> _waiters = [];

    public ReplicaSetUnderTest(ReplicaSetOptions options, IReplicaTraffic? traffic = null, ProcessManagerOptions? manager = null, bool blindPorts = false, ResourceSampler? samples = null)
    {
        // Blind: hands out a port without looking, as if a stranger had taken it in between.
        var ports = blindPorts ? new PortPool(TimeProvider.System, _ => false) : new PortPool(TimeProvider.System);
        _factory = new(Options.Create(manager ?? new()), TimeProvider.System, Loggers, metrics: null, samples, ports);
        Set = _factory.Create(options, traffic ?? new FakeTraffic());
        Set.StatusChanged += OnStatus;
    }

    public CollectedLogs Loggers { get; } = new();

    public IReplicaSet Set { get; }

    public IReadOnlyList<ReplicaStatus> History => [.. _history];

    public IEnumerable<ReplicaState> States => _history.Select(status => status.State);

    /// <summary>Drops what it has kept of the past.</summary>
    public void Forget()
    {
        _history.Clear();
        Loggers.Lines.Clear();
        lock (_gate)
        {
            _waiters.Clear();
        }
    }

    /// <summary>The first status from now on, the current ones included, that meets the condition.</summary>
    public async Task<ReplicaStatus> UntilAsync(Func<ReplicaStatus, bool> condition)
    {
        var done = new TaskCompletionSource<ReplicaStatus>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            _waiters.Add((condition, done));
        }

        if (Set.Statuses.FirstOrDefault(condition) is { } now)
        {
            done.TrySetResult(now);
        }

        try
        {
            return await done.Task.WaitAsync(Deadline, TestContext.Current.CancellationToken);
        }
        catch (TimeoutException)
        {
            throw new TimeoutException(
                $"Never came to be. Seen: {string.Join(", ", States)}. Log: {string.Join('\n', Loggers.Lines)}. Output: {string.Join('\n', Set.LogTail(0, 20))}");
        }
    }

    public Task<ReplicaStatus> UntilAsync(ReplicaState state) => UntilAsync(status => status.State == state);

    public async ValueTask DisposeAsync()
    {
        await Set.DisposeAsync();
        _factory.Dispose();
    }

    private void OnStatus(ReplicaStatus status)
    {
        _history.Enqueue(status);
        lock (_gate)
        {
            foreach (var (condition, done) in _waiters)
            {
                if (condition(status))
                {
                    done.TrySetResult(status);
                }
            }
        }
    }
}

/// <summary>Every line that was logged.</summary>
internal sealed class CollectedLogs : ILoggerFactory, ILogger
{
    public ConcurrentQueue<string> Lines { get; } = new();

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Lines.Enqueue($"{logLevel} {eventId.Id}: {formatter(state, exception)}{(exception is null ? "" : " " + exception)}");

    public void Dispose()
    {
    }
}
