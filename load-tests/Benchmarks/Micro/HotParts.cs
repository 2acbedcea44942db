using System.Text;
using BenchmarkDotNet.Attributes;
using LlmGateway.Gateway.Keys;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Scheduling;
using LlmGateway.Gateway.Scheduling.Breaking;

namespace LlmGateway.Benchmarks.Micro;

/// <summary>What every request passes through.</summary>
[MemoryDiagnoser]
[ShortRunJob]
public class HotParts : IDisposable
{
    private const string Secret = "Bearer sk-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    private readonly byte[] _body = Encoding.UTF8.GetBytes(
        $$"""{"model":"qwen3-8b","stream":true,"max_tokens":256,"temperature":0.7,"messages":[{"role":"system","content":"{{new string('s', 600)}}"},{"role":"user","content":"{{new string('u', 1200)}}"}]}""");

    private readonly KeyRing _keys = new(Enumerable.Range(0, 20).Select(static i => new KeyOptions { Name = $"k{i}", Hash = ApiKey.Create().Hash }));
    private readonly RequestBody _text = Gateways.Body(400);
    private readonly ModelQueue _queue;
    private readonly QueueTicket _ticket;

    public HotParts()
    {
        var model = Gateways.Model(2, 4, new QueueOptions());
        _queue = Gateways.Queue(model, TimeProvider.System);
        _queue.Update(Gateways.Ready([Gateways.Backend(0), Gateways.Backend(1)], 4));
        _ticket = new QueueTicket(Gateways.Request(model, _text, TimeProvider.System, "k1"));
    }

    [Benchmark(Description = "look into a 2 KB body")]
    public object? Peek() => BodyPeek.Read(_body);

    [Benchmark(Description = "hash its prompt's beginnings")]
    public int Prefix() => PrefixChain.Of(_body).Length;

    [Benchmark(Description = "look a key up among 20")]
    public object? FindKey() => _keys.Find(Secret, default);

    [Benchmark(Description = "acquire a free slot and give it back")]
    public bool AcquireAndRelease()
    {
        var acquiring = _queue.AcquireAsync(_ticket, CancellationToken.None);
        if (!acquiring.IsCompletedSuccessfully)
        {
            throw new InvalidOperationException("A slot is free, and yet this waits.");
        }

        using var lease = acquiring.Result;
        lease.End(LeaseEnd.Finished, UpstreamOutcome.Ok);
        return lease.IsAcquired;
    }

    public void Dispose()
    {
        _queue.Dispose();
        _text.Dispose();
        GC.SuppressFinalize(this);
    }
}
