using System.Collections.Immutable;
using System.Globalization;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;

namespace LlmGateway.Benchmarks.Simulation;

/// <summary>The gateway's own queue: the class that serves, on simulated time.</summary>
internal sealed class GatewayPolicy : IPolicy
{
    private readonly SimulatedTime _time;
    private readonly Workload _workload;
    private readonly Model _model;
    private readonly ModelQueue _queue;
    private readonly Backend?[] _backends;
    private readonly bool _knowsPrefixes;
    private int _generation;

    /// <param name="time">The simulation's.</param>
    /// <param name="workload">How many servers and slots; its deadline is what clients ask for.</param>
    /// <param name="knowsPrefixes">False when nothing of a prompt tells which conversation it goes on with.</param>
    public GatewayPolicy(SimulatedTime time, Workload workload, bool knowsPrefixes = true)
    {
        (_time, _workload, _knowsPrefixes) = (time, workload, knowsPrefixes);
        _model = Gateways.Model(workload.Backends, workload.Slots, new QueueOptions { Timeout = workload.Patience, MaxDepth = 1_000_000, MaxDepthPerKey = 1_000_000 });
        _queue = Gateways.Queue(_model, time);
        _backends = [.. Enumerable.Range(0, workload.Backends).Select(i => Gateways.Backend(i))];
        Publish();
    }

    public async ValueTask<IGrant?> AcquireAsync(SimulatedRequest request, CancellationToken patience)
    {
        using var body = Gateways.Body(request.Prompt);
        var asked = Gateways.Request(_model, body, _time, request.Key.ToString(CultureInfo.InvariantCulture), within: _workload.Deadline, prefix: _knowsPrefixes ? Prefix(request) : []);
        var lease = await _queue.AcquireAsync(new QueueTicket(asked), patience);
        return lease.IsAcquired ? new Grant(lease) : null;
    }

    public void SetAlive(int backend, bool isAlive)
    {
        _backends[backend] = isAlive ? Gateways.Backend(backend, ++_generation) : null;
        Publish();
    }

    public void Dispose() => _queue.Dispose();

    /// <summary>The chain that the gateway would find in the conversation's messages.</summary>
    private static ImmutableArray<PrefixLink> Prefix(SimulatedRequest request) =>
        [.. request.Turns.Select((tokens, turn) => new PrefixLink(Hash(request.Conversation, turn), tokens * Gateways.BytesPerToken))];

    private static ulong Hash((int Session, int Number) conversation, int turn) =>
        XxHash3.HashToUInt64(MemoryMarshal.AsBytes<int>([conversation.Session, conversation.Number, turn]));

    private void Publish() => _queue.Update(Gateways.Ready(_backends.OfType<Backend>(), _workload.Slots));

    private sealed class Grant(SlotLease lease) : IGrant
    {
        public int Backend { get; } = int.Parse(lease.Backend.Name.AsSpan(Gateways.ModelName.Length + 1), CultureInfo.InvariantCulture);

        public void FirstToken(TimeSpan after) => lease.MarkFirstToken(after);

        public void Release((int Prompt, int Cached, int Answer)? tokens)
        {
            if (tokens is { } spent)
            {
                lease.Spend(spent.Prompt, spent.Cached, spent.Answer);
            }

            lease.End(LeaseEnd.Finished, tokens is null ? UpstreamOutcome.Neutral : UpstreamOutcome.Ok);
            lease.Dispose();
        }
    }
}
