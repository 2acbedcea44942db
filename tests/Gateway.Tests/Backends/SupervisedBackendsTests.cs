using System.Collections.Immutable;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Probes;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.Gateway.Tests.Backends;

public sealed class SupervisedBackendsTests : IAsyncDisposable
{
    private readonly BackendRegistry _registry = new();
    private readonly FakeReplicas _replicas = new();
    private readonly SupervisedBackends _source;

    public SupervisedBackendsTests()
    {
        _registry.Add("m");
        _source = new SupervisedBackends(new Model("m", new ModelOptions { Kind = ModelKind.Simulator }, new QueueOptions()), _replicas, _registry);
        _source.Start();
    }

    public ValueTask DisposeAsync() => _replicas.DisposeAsync();

    private BackendEntry Entry => _registry.Snapshot("m").Entries.Single();

    [Fact]
    public void Report_BeforeTheStart_IsKnownAndLoadable() => Assert.Equal((BackendCondition.Loadable, null), (Entry.Condition, Entry.Backend));

    [Fact]
    public void SetDown_ReplicaIsNotWanted_MeansWhatItIsSaidToMean()
    {
        _source.SetDown(BackendCondition.Failed);
        Assert.Equal(BackendCondition.Failed, Entry.Condition);
        _source.SetDown(BackendCondition.Loadable);
        Assert.Equal((BackendCondition.Loadable, "It is not loaded; the next request loads it."), (Entry.Condition, Entry.NotRoutableBecause));
        _replicas.Become(ReplicaState.Ready, generation: 1);
        Assert.Equal(BackendCondition.Ready, Entry.Condition);
    }

    [Theory]
    [InlineData(ReplicaState.Ready, BackendCondition.Ready, true)]
    [InlineData(ReplicaState.Loading, BackendCondition.Coming, true)]
    [InlineData(ReplicaState.NotReady, BackendCondition.Coming, true)]
    [InlineData(ReplicaState.Busy, BackendCondition.Coming, true)]
    [InlineData(ReplicaState.Backoff, BackendCondition.Coming, false)]
    [InlineData(ReplicaState.Draining, BackendCondition.Stopped, true)]
    [InlineData(ReplicaState.Stopping, BackendCondition.Stopped, true)]
    [InlineData(ReplicaState.Stopped, BackendCondition.Stopped, false)]
    [InlineData(ReplicaState.Failed, BackendCondition.Failed, false)]
    [InlineData(ReplicaState.Stuck, BackendCondition.Failed, true)]
    public void Report_State_SaysWhatAWaitingRequestMayHopeFor(ReplicaState state, object condition, bool lives)
    {
        _source.SetDown(BackendCondition.Stopped);
        _replicas.Become(state, generation: 1);
        Assert.Equal(condition, Entry.Condition);
        Assert.Equal(lives, Entry.Backend is not null);
    }

    [Fact]
    public void Report_SameGeneration_IsTheSameBackend()
    {
        _replicas.Become(ReplicaState.Loading, generation: 1);
        var backend = Entry.Backend;
        _replicas.Become(ReplicaState.Ready, generation: 1);
        Assert.Same(backend, Entry.Backend);
        Assert.Equal(("m/0", 1, "key"), (backend!.Name, backend.Generation, backend.ApiKey));
    }

    [Fact]
    public async Task Report_ProcessEndsOrIsAnother_TheOldBackendIsGone()
    {
        _replicas.Become(ReplicaState.Ready, generation: 1);
        var first = Entry.Backend!;
        _replicas.Become(ReplicaState.Ready, generation: 2);
        var second = Entry.Backend!;
        Assert.NotSame(first, second);
        _replicas.Become(ReplicaState.Backoff, generation: 2);
        foreach (var backend in new[] { first, second })
        {
            var gone = new TaskCompletionSource();
            using var registration = backend.Gone.Register(gone.SetResult);
            await gone.Task.WaitAsync(TestContext.Current.CancellationToken);
        }
    }

    private sealed class FakeReplicas : IReplicaSet
    {
        public event Action<ReplicaStatus>? StatusChanged;

        public string Model => "m";

        public ImmutableArray<ReplicaStatus> Statuses { get; private set; } = [new ReplicaStatus { Model = "m", Index = 0 }];

        public void Become(ReplicaState state, int generation)
        {
            Statuses = [new ReplicaStatus { Model = "m", Index = 0, State = state, Generation = generation, Slots = 2, ApiKey = "key", Address = BackendAddress.Tcp("127.0.0.1", 9) }];
            StatusChanged?.Invoke(Statuses[0]);
        }

        public void Start()
        {
        }

        public Task CommandAsync(int index, ReplicaVerb verb, CancellationToken cancellationToken) => Task.CompletedTask;

        public Task<ReplicaStatus?> ApplyAsync(ReplicaSetOptions options, CancellationToken cancellationToken) => Task.FromResult<ReplicaStatus?>(null);

        public IReadOnlyList<string> LogTail(int index, int lines) => [];

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
