using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace LlmGateway.EndToEnd.Tests.Sdks;

/// <summary>
/// A backend that calls the first tool it is given, as a good model would: the models of noise never do. It answers only what it understands, so an SDK
/// that gets its tool call back has been passed through whole in both directions.
/// </summary>
internal sealed class ToolServer : IAsyncDisposable
{
    private const string Arguments = """{\"city\":\"Zürich\"}""";

    private readonly WebApplication _app;

    private ToolServer(WebApplication app) => _app = app;

    public string Url => _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();

    public static async Task<ToolServer> StartAsync(CancellationToken cancellationToken)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        app.MapGet("/health", () => Results.Json(new { status = "ok" }));
        app.MapPost("/v1/chat/completions", context => AnswerAsync(context, body => (string?)body["tools"]?[0]?["function"]?["name"], Chat, ChatEvents));
        app.MapPost("/v1/messages", context => AnswerAsync(context, body => (string?)body["tools"]?[0]?["name"], Message, MessageEvents));
        await app.StartAsync(cancellationToken);
        return new ToolServer(app);
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private static async Task AnswerAsync(HttpContext context, Func<JsonNode, string?> nameOf, Func<string, string> whole, Func<string, IEnumerable<string>> events)
    {
        var body = (await JsonNode.ParseAsync(context.Request.Body, cancellationToken: context.RequestAborted))!;
        if (nameOf(body) is not { } name)
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            await context.Response.WriteAsync("""{"error":{"code":400,"message":"no tool was given","type":"invalid_request_error"}}""", context.RequestAborted);
            return;
        }

        var isStream = (bool?)body["stream"] ?? false;
        context.Response.ContentType = isStream ? "text/event-stream" : "application/json";
        foreach (var part in isStream ? events(name) : [whole(name)])
        {
            await context.Response.WriteAsync(part, Encoding.UTF8, context.RequestAborted);
            await context.Response.Body.FlushAsync(context.RequestAborted);
        }
    }

    private static string Call(string name) => $$$"""{"index":0,"id":"call_1","type":"function","function":{"name":"{{{name}}}","arguments":"{{{Arguments}}}"}}""";

    private static string Chat(string name) =>
        $$$"""{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"t","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":[{{{Call(name)}}}]}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}""";

    private static IEnumerable<string> ChatEvents(string name) =>
    [
        Chunk($$$"""{"index":0,"finish_reason":null,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"{{{name}}}","arguments":""}}]}}"""),
        .. Arguments.Chunk(7).Select(piece => Chunk($$$"""{"index":0,"finish_reason":null,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{{{Piece(piece)}}}"}}]}}""")),
        Chunk("""{"index":0,"finish_reason":"tool_calls","delta":{}}"""),
        "data: [DONE]\n\n",
    ];

    private static string Chunk(string choice) => $$$"""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"t","choices":[{{{choice}}}]}""" + "\n\n";

    private static string Message(string name) =>
        $$$"""{"id":"msg_1","type":"message","role":"assistant","model":"t","stop_reason":"tool_use","stop_sequence":null,"content":[{"type":"tool_use","id":"toolu_1","name":"{{{name}}}","input":{"city":"Zürich"}}],"usage":{"input_tokens":1,"output_tokens":1}}""";

    private static IEnumerable<string> MessageEvents(string name) =>
    [
        Event("message_start", """{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"t","stop_reason":null,"stop_sequence":null,"content":[],"usage":{"input_tokens":1,"output_tokens":0}}}"""),
        Event("content_block_start", $$$"""{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"{{{name}}}","input":{} }}"""),
        .. Arguments.Chunk(7).Select(piece => Event("content_block_delta", $$$"""{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{{{Piece(piece)}}}"}}""")),
        Event("content_block_stop", """{"type":"content_block_stop","index":0}"""),
        Event("message_delta", """{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":1}}"""),
        Event("message_stop", """{"type":"message_stop"}"""),
    ];

    private static string Event(string name, string data) => $"event: {name}\ndata: {data}\n\n";

    private static string Piece(char[] letters) => new(letters);
}
