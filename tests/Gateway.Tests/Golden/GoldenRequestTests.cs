using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Tests.Forwarding;

namespace LlmGateway.Gateway.Tests.Golden;

/// <summary>One gateway and the backend that records what reaches it.</summary>
public class GoldenGateway : IAsyncLifetime
{
    private protected virtual RelayKind Relay => RelayKind.Lean;

    internal StubBackend Backend { get; } = StubBackend.Answers("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");

    internal GatewayUnderTest Gateway { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Gateway = await GatewayUnderTest.StartAsync(TimeProvider.System, model => model with { Remotes = [model.Remotes[0] with { Slots = 4 }] }, root: options => options with { Gateway = options.Gateway with { MaxRequestBody = new ByteSize(512 * 1024), Relay = Relay } });
        Gateway.Add(Backend.Address, slots: 4);
    }

    public async ValueTask DisposeAsync()
    {
        await Gateway.DisposeAsync();
        await Backend.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

/// <summary>The same with YARP's forwarder.</summary>
public sealed class YarpGoldenGateway : GoldenGateway
{
    private protected override RelayKind Relay => RelayKind.Yarp;
}

/// <summary>The same corpus with YARP's forwarder: byte for byte the same.</summary>
public sealed class YarpGoldenRequestTests(YarpGoldenGateway golden) : GoldenRequestTests(golden), IClassFixture<YarpGoldenGateway>;

/// <summary>The corpus of <c>requests.txt</c>: what a client gets, and the exact bytes that a backend sees.</summary>
public partial class GoldenRequestTests(GoldenGateway golden) : IClassFixture<GoldenGateway>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static TheoryData<string> Names => [.. GoldenCase.All.Keys];

    [Fact]
    public void Corpus_IsLarge() => Assert.InRange(GoldenCase.All.Count, 150, int.MaxValue);

    [Theory(Timeout = 30_000)]
    [MemberData(nameof(Names))]
    public async Task Request_OfTheCorpus_GetsItsAnswerAndReachesTheBackendInItsOneForm(string name)
    {
        var one = GoldenCase.All[name];
        Seen();
        var authority = golden.Gateway.Url.Authority;
        using var client = new TcpClient();
        await client.ConnectAsync(golden.Gateway.Url.Host, golden.Gateway.Url.Port, Ct);
        var stream = client.GetStream();
        await stream.WriteAsync(Encoding.Latin1.GetBytes(Encoding.Latin1.GetString(one.Request).Replace(GoldenCase.HostMark, authority, StringComparison.Ordinal)), Ct);
        if (one.LeavesEarly)
        {
            client.Client.Shutdown(SocketShutdown.Send);
        }

        var answers = new RawAnswers(stream);
        var isHead = one.Request.AsSpan().StartsWith("HEAD "u8);
        var got = new List<string>();
        for (var i = 0; i < one.Answers.Length; i++)
        {
            got.Add(await answers.NextAsync(isHead, Ct));
        }

        Assert.Equal(one.Answers, got);
        if (!answers.IsClosing)
        {
            // In step: what comes next is read from its first byte on.
            await stream.WriteAsync(Encoding.Latin1.GetBytes($"GET /in-step HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"), Ct);
            Assert.Equal("404 unknown_endpoint", await answers.NextAsync(false, Ct));
        }

        Assert.Equal("closed", await answers.NextAsync(false, Ct));
        Assert.Equal(one.Seen.Select(Expected), Seen());
    }

    private List<string> Seen()
    {
        var seen = new List<string>();
        while (golden.Backend.Seen.TryRead(out var request))
        {
            seen.Add(RandomId().Replace(request, "X-Request-ID: req-…\r\n"));
        }

        return seen;
    }

    private string Expected(GoldenCall call)
    {
        string[] head =
        [
            $"POST {call.Path} HTTP/1.1", $"Host: {golden.Backend.Address.BaseUri.Authority}", "Accept: application/json, */*",
            call.Headers.FirstOrDefault(header => header.StartsWith("X-Request-ID", StringComparison.Ordinal)) ?? "X-Request-ID: req-…",
            .. call.Headers.Where(header => header.StartsWith("traceparent", StringComparison.Ordinal)),
            "Authorization: Bearer backend-key", $"Content-Length: {call.Body.Length}", "Content-Type: application/json",
        ];
        return string.Join("\r\n", head) + "\r\n\r\n" + Encoding.UTF8.GetString(call.Body);
    }

    [GeneratedRegex("X-Request-ID: req-[0-9a-f]{32}\r\n")]
    private static partial Regex RandomId();

    /// <summary>The answers on one connection, one after the other.</summary>
    private sealed class RawAnswers(NetworkStream stream)
    {
        private readonly List<byte> _read = [];

        /// <summary>True when the last answer has said that no other follows.</summary>
        public bool IsClosing { get; private set; }

        /// <summary>Status and code of the next answer, or <c>closed</c>.</summary>
        public async Task<string> NextAsync(bool isHead, CancellationToken cancellationToken)
        {
            int end;
            while ((end = Text().IndexOf("\r\n\r\n", StringComparison.Ordinal)) < 0)
            {
                if (!await MoreAsync(cancellationToken))
                {
                    Assert.Empty(_read);
                    IsClosing = true;
                    return "closed";
                }
            }

            var head = Text()[..end];
            _read.RemoveRange(0, end + 4);
            var status = head.Split(' ')[1];
            IsClosing |= head.Contains("\r\nConnection: close", StringComparison.OrdinalIgnoreCase);
            Assert.DoesNotContain("\r\nServer:", head, StringComparison.OrdinalIgnoreCase);
            var isChunked = head.Contains("\r\nTransfer-Encoding: chunked", StringComparison.OrdinalIgnoreCase) && !isHead;
            while (isChunked && !Text().Contains("\r\n0\r\n\r\n", StringComparison.Ordinal))
            {
                Assert.True(await MoreAsync(cancellationToken), "the answer is cut");
            }

            if (isChunked)
            {
                // Only lists of models come so, and what they say is tested elsewhere.
                _read.RemoveRange(0, Text().IndexOf("\r\n0\r\n\r\n", StringComparison.Ordinal) + 7);
                return status;
            }

            var length = LengthHeader().Match(head) is { Success: true } match && !isHead ? int.Parse(match.Groups[1].ValueSpan, System.Globalization.CultureInfo.InvariantCulture) : 0;
            while (_read.Count < length)
            {
                Assert.True(await MoreAsync(cancellationToken), "the answer is cut");
            }

            var body = Text()[..length];
            _read.RemoveRange(0, length);
            return CodeOf(body) is { } code ? $"{status} {code}" : status;
        }

        private static string? CodeOf(string body) =>
            body.Length > 0 && JsonNode.Parse(body) is JsonObject json && json["error"] is JsonObject error ? (string?)error["code"] ?? (string?)error["type"] : null;

        private string Text() => Encoding.Latin1.GetString([.. _read]);

        private async Task<bool> MoreAsync(CancellationToken cancellationToken)
        {
            var buffer = new byte[64 * 1024];
            try
            {
                var read = await stream.ReadAsync(buffer, cancellationToken);
                _read.AddRange(buffer.AsSpan(0, read));
                return read > 0;
            }
            catch (IOException)
            {
                return false;
            }
        }
    }

    [GeneratedRegex("\r\nContent-Length: ([0-9]+)")]
    private static partial Regex LengthHeader();
}
