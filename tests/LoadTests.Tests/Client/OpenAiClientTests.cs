using System.Diagnostics;
using System.Text;
using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Scenarios;
using LlmGateway.LoadTests.Tests.Running;
using Microsoft.AspNetCore.Http;

namespace LlmGateway.LoadTests.Tests.Client;

public sealed class OpenAiClientTests
{
    private const string Chunk = """data: {"choices":[{"index":0,"delta":{"content":"a"}}]}""" + "\n\n";
    private const string Foreign = """data: {"choices":[{"index":0,"delta":{"content":" nothing"}}],"system_fingerprint":"b1-simulator"}""" + "\n\n";

    [Theory]
    [InlineData(Chunk + Chunk + "data: [DONE]\n\n", "Ok", null)]
    [InlineData(": ping\n\n" + Chunk + "data: [DONE]\n\n", "Ok", null)]
    [InlineData(Chunk, "BrokenStream", "ended without [DONE]")]
    [InlineData("", "BrokenStream", "ended without [DONE]")]
    [InlineData(Chunk + "data: [DONE]\n\ndata: {", "BrokenStream", "ended in half an event")]
    [InlineData(Chunk + "data: [DONE]\n\n" + Chunk, "BrokenStream", "data after [DONE]")]
    [InlineData(Chunk + "data: {\"error\":{\"code\":\"backend_failed\"}}\n\n", "BrokenStream", "error event backend_failed")]
    [InlineData(Chunk + "data: no json\n\n", "BrokenStream", "an event that is no JSON object")]
    [InlineData(Foreign + "data: [DONE]\n\n", "WrongText", "a chunk is lost, twice, or foreign")]
    public async Task SendAsync_Streams_AreWholeOrBroken(string body, string outcome, string? reason)
    {
        var record = await SendAsync(stream: true, async http =>
        {
            http.Response.ContentType = "text/event-stream";
            await http.Response.WriteAsync(body);
        });

        Assert.Equal((outcome, reason), (record.Outcome.ToString(), record.Reason));
        Assert.Equal(body.Contains("\"a\"", StringComparison.Ordinal), record.FirstToken > 0 && record.Tokens > 0 && outcome != "WrongText");
    }

    [Theory]
    [InlineData(429, true, "Refused429")]
    [InlineData(429, false, "Refused429Bare")]
    [InlineData(503, true, "Refused503")]
    [InlineData(503, false, "Refused503Bare")]
    [InlineData(502, true, "Error")]
    public async Task SendAsync_Refusals_AreToldApartByRetryAfter(int status, bool hasRetryAfter, string outcome)
    {
        var record = await SendAsync(stream: true, async http =>
        {
            http.Response.StatusCode = status;
            http.Response.Headers.RetryAfter = hasRetryAfter ? "2" : default;
            http.Response.Headers["x-llmgateway-queue-ms"] = "12.5";
            await http.Response.WriteAsync("""{"error":{"code":"queue_full"}}""");
        });

        Assert.Equal((outcome, $"{status} queue_full", 12.5), (record.Outcome.ToString(), record.Reason, record.QueueMilliseconds));
    }

    [Fact]
    public async Task SendAsync_WholeAnswer_TakesTokensFromTheUsage()
    {
        var record = await SendAsync(stream: false, http =>
            http.Response.WriteAsync("""{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"completion_tokens":7}}"""));

        Assert.Equal((Outcome.Ok, 7, 0L), (record.Outcome, record.Tokens, record.FirstToken));
    }

    [Fact]
    public async Task SendAsync_NoAnswerInTime_TimesOutOrLeavesAsPlanned()
    {
        RequestDelegate hang = http => Task.Delay(Timeout.Infinite, http.RequestAborted).ContinueWith(static _ => { }, TaskScheduler.Default);

        Assert.Equal(Outcome.ClientTimeout, (await SendAsync(stream: true, hang, patience: TimeSpan.FromMilliseconds(50))).Outcome);
        Assert.Equal(Outcome.Left, (await SendAsync(stream: true, hang, leaveAfter: TimeSpan.FromMilliseconds(50))).Outcome);
    }

    [Fact]
    public async Task SendAsync_NobodyListens_IsAnError()
    {
        using var client = new OpenAiClient(new Uri("http://127.0.0.1:1"), "m", [], isTextChecked: true);
        var record = new RequestRecord { IntendedStart = Stopwatch.GetTimestamp() };

        await client.SendAsync(Request(stream: true), record, TimeSpan.FromSeconds(5), answer: null);

        Assert.Equal((Outcome.Error, "connection refused"), (record.Outcome, record.Reason));
    }

    private static async Task<RequestRecord> SendAsync(bool stream, RequestDelegate answer, TimeSpan? patience = null, TimeSpan? leaveAfter = null)
    {
        await using var server = await FakeServer.StartAsync(answer);
        using var client = new OpenAiClient(server.Url, "m", [], isTextChecked: true);
        var record = new RequestRecord { IntendedStart = Stopwatch.GetTimestamp() };
        await client.SendAsync(Request(stream) with { LeaveAfter = leaveAfter }, record, patience ?? TimeSpan.FromSeconds(20), new StringBuilder());
        return record;
    }

    private static PlannedRequest Request(bool stream) => new([("user", "hi")], 1, stream, Key: null, LeaveAfter: null, BytesPerSecond: null, Session: null);
}
