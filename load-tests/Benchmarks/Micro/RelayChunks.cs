using System.Text;
using BenchmarkDotNet.Attributes;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Benchmarks.Micro;

/// <summary>What every chunk of a stream passes through.</summary>
[MemoryDiagnoser]
[ShortRunJob]
public class RelayChunks
{
    private const int Chunks = 1000;

    private static readonly byte[] Event = Encoding.UTF8.GetBytes(
        """data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" word"}}],"created":1700000000,"id":"chatcmpl-0123456789","model":"m","object":"chat.completion.chunk"}""" + "\n\n");

    private static readonly byte[] Done = Encoding.UTF8.GetBytes("data: [DONE]\n\n");

    private readonly byte[] _buffer = new byte[16 * 1024];

    [Benchmark(Description = "relay a chunk", OperationsPerInvoke = Chunks)]
    public async Task<int> Relay()
    {
        using var timer = new RelayTimer(
            TimeProvider.System, TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(1), TimeSpan.FromHours(1), CancellationToken.None, CancellationToken.None);
        await using var relay = new RelayStream(new ChunkStream(), new StreamShape(ApiDialect.OpenAi), "r", timer);
        await relay.PrimeAsync();
        var bytes = 0;
        while (await relay.ReadAsync(_buffer) is > 0 and var read)
        {
            bytes += read;
        }

        return bytes;
    }

    /// <summary>Hands out one event a read, then the end.</summary>
    private sealed class ChunkStream : Stream
    {
        private int _left = Chunks + 1;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_left == 0 || buffer.IsEmpty) // an empty read only waits
            {
                return ValueTask.FromResult(0);
            }

            var next = --_left == 0 ? Done : Event;
            next.CopyTo(buffer);
            return ValueTask.FromResult(next.Length);
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
