using System.Text;

namespace LlmGateway.Gateway.Tests.Forwarding;

/// <summary>What the client must see of a hostile answer.</summary>
internal enum Seen
{
    /// <summary>Status 200 and exactly these bytes, as a complete message.</summary>
    Relayed,

    /// <summary>An error in the API's shape, before any byte of the answer.</summary>
    Refused,

    /// <summary>Whole events, then the API's error event, a complete message, and a closed connection.</summary>
    Broken,

    /// <summary>Whole events, the last of them the backend's own error; a complete message, and a closed connection.</summary>
    BrokenByItself,

    /// <summary>A beginning, and then a connection that ends before its message.</summary>
    Aborted,
}

/// <summary>One backend answer that is wrong, odd or malicious.</summary>
/// <param name="Path">The endpoint that is asked.</param>
/// <param name="Stream">Whether a stream is asked for.</param>
/// <param name="Seen">What the client must see of it.</param>
/// <param name="Answer">What the backend does; the task completes when the client has got <see cref="Bytes"/>.</param>
internal sealed record HostileAnswer(string Path, bool Stream, Seen Seen, Func<StubExchange, Task, Task> Answer)
{
    /// <summary>Bytes that the client gets before the break, or in all.</summary>
    public byte[] Bytes { get; init; } = [];

    public int Status { get; init; } = 200;

    public string Code { get; init; } = "";
}

/// <summary>The corpus: by name, so that a failing one can be found and run alone.</summary>
internal static class HostileAnswers
{
    private const string Chat = "/v1/chat/completions";
    private const string Json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    private const string Events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    private const string Secret = "backend-secret";

    public static IReadOnlyDictionary<string, HostileAnswer> All { get; } = Heads().Concat(Wholes()).Concat(Streams()).ToDictionary();

    // What goes wrong before anything can be relayed.
    private static IEnumerable<KeyValuePair<string, HostileAnswer>> Heads()
    {
        (string Name, string Bytes)[] failing =
        [
            ("nothing", ""),
            ("no HTTP", $"{Secret}\r\n\r\n"),
            ("SSH banner", "SSH-2.0-OpenSSH_9.2\r\n"),
            ("no status", "HTTP/1.1\r\n\r\n"),
            ("status of letters", "HTTP/1.1 abc OK\r\n\r\n"),
            ("status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}"),
            ("status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}"),
            ("half a head", Json + "X-Half: "),
            ("header without a colon", Json + "Nonsense\r\nContent-Length: 2\r\n\r\n{}"),
            ("header with a space in its name", Json + "X Y: 1\r\nContent-Length: 2\r\n\r\n{}"),
            ("one header above 64 KiB", $"{Json}X-Big: {new string('x', 70_000)}\r\nContent-Length: 2\r\n\r\n{{}}"),
            ("headers above 64 KiB together", $"{Json}{string.Concat(Enumerable.Range(0, 1500).Select(i => $"X-{i}: {new string('x', 50)}\r\n"))}Content-Length: 2\r\n\r\n{{}}"),
            ("endless status line", "HTTP/1.1 200 " + new string('x', 200_000)),
            ("length and chunks", Json + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
            ("negative length", Json + "Content-Length: -5\r\n\r\n{}"),
            ("unknown transfer coding", Json + "Transfer-Encoding: rot13\r\nContent-Length: 0\r\n\r\n"),
            ("empty answer", Json + "Content-Length: 0\r\n\r\n"),
            ("empty chunked answer", Json + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("compressed although nobody asked", Json + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\u001f\u000b"),
            ("204 with a body", $"HTTP/1.1 204 No Content\r\nContent-Length: {Secret.Length}\r\n\r\n{Secret}"),
            ("205", "HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n"),
            ("304 with a body", $"HTTP/1.1 304 Not Modified\r\nContent-Length: {Secret.Length}\r\n\r\n{Secret}"),
            ("101 unasked", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" + Secret),
            ("redirect", $"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/{Secret}\r\nContent-Length: 0\r\n\r\n"),
            ("300 without a place", "HTTP/1.1 300 X\r\nContent-Length: 0\r\n\r\n"),
            ("page of HTML", $"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {Secret.Length}\r\n\r\n{Secret}"),
            ("script", $"HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: {Secret.Length}\r\n\r\n{Secret}"),
            ("type that is none", $"HTTP/1.1 200 OK\r\nContent-Type: ;;;\r\nContent-Length: {Secret.Length}\r\n\r\n{Secret}"),
            ("400 that is no JSON", $"HTTP/1.1 400 X\r\nContent-Type: text/html\r\nContent-Length: {Secret.Length}\r\n\r\n{Secret}"),
            ("400 without a message", "HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Length: 32\r\n\r\n{\"error\":{\"text\":\"" + Secret + "\"}}"),
            ("400 cut short", "HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"error\":{\"message\":\"" + Secret + "\"}}"),
            ("400 above 64 KiB", $"HTTP/1.1 400 X\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{{\"error\":{{\"message\":\"{new string('x', 70_000)}\"}}}}"),
            ("401 about the gateway's key", Refusal(401)),
            ("403", Refusal(403)),
            ("407", Refusal(407)),
            ("429", Refusal(429)),
            ("500 with its inside", Refusal(500)),
            ("502 of a proxy behind", Refusal(502)),
        ];
        foreach (var (name, bytes) in failing)
        {
            foreach (var stream in new[] { false, true })
            {
                yield return new(stream ? $"{name}, stream" : name, new HostileAnswer(Chat, stream, Seen.Refused, Says(bytes)) { Status = 502, Code = "backend_failed" });
            }
        }

        yield return new("reset at once", new HostileAnswer(Chat, false, Seen.Refused, static (exchange, _) =>
        {
            exchange.Reset();
            return Task.CompletedTask;
        })
        {
            Status = 502,
            Code = "backend_failed",
        });
        yield return new("400 of the API", new HostileAnswer(Chat, true, Seen.Refused, Says("HTTP/1.1 400 X\r\nContent-Type: text/html\r\nContent-Length: 38\r\n\r\n{\"error\":{\"message\":\"x\",\"code\":\"own\"}}")) { Status = 400, Code = "own" });
        yield return new("501", new HostileAnswer(Chat, false, Seen.Refused, Says(Refusal(501))) { Status = 404, Code = "unknown_endpoint" });
    }

    private static IEnumerable<KeyValuePair<string, HostileAnswer>> Wholes()
    {
        const string Body = "{\"a\":\"b\"}";
        (string Name, string Bytes, string Expected)[] relayed =
        [
            ("100 before the answer", $"HTTP/1.1 100 Continue\r\n\r\n{Json}Content-Length: 9\r\n\r\n{Body}", Body),
            ("103 before the answer", $"HTTP/1.1 103 Early Hints\r\nLink: </{Secret}>\r\n\r\n{Json}Content-Length: 9\r\n\r\n{Body}", Body),
            ("fifty 1xx before the answer", $"{string.Concat(Enumerable.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 50))}{Json}Content-Length: 9\r\n\r\n{Body}", Body),
            ("more than its length", $"{Json}Content-Length: 9\r\n\r\n{Body}{Secret}", Body),
            ("a second answer behind the first", $"{Json}Content-Length: 9\r\n\r\n{Body}HTTP/1.1 200 OK\r\nContent-Length: {Secret.Length}\r\n\r\n{Secret}", Body),
            ("trailers", $"{Json}Transfer-Encoding: chunked\r\n\r\n9\r\n{Body}\r\n0\r\nX-Trailer: {Secret}\r\n\r\n", Body),
            ("chunk extension", $"{Json}Transfer-Encoding: chunked\r\n\r\n9;{Secret}=1\r\n{Body}\r\n0\r\n\r\n", Body),
            ("HTTP/1.0", $"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{Body}", Body),
            ("no type", $"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{Body}", Body),
            ("headers that are the gateway's business", $"{Json}Set-Cookie: {Secret}=1\r\nServer: {Secret}\r\nX-Powered-By: {Secret}\r\nAccess-Control-Allow-Origin: *\r\nx-llmgateway-backend: {Secret}\r\nx-request-id: {Secret}\r\nContent-Length: 9\r\n\r\n{Body}", Body),
            ("not JSON at all", $"{Json}Content-Length: 9\r\n\r\n\u0000\u0001<html>\u0007", "\u0000\u0001<html>\u0007"),
            ("201", $"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{Body}", Body),
        ];
        foreach (var (name, bytes, expected) in relayed)
        {
            yield return new(name, new HostileAnswer(Chat, false, Seen.Relayed, Says(bytes)) { Bytes = Encoding.UTF8.GetBytes(expected), Status = name == "201" ? 201 : 200 });
        }

        (string Name, string Head, string After)[] aborted =
        [
            ("less than its length", "Content-Length: 100\r\n\r\n{\"a\":", ""),
            ("chunks without an end", "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n", ""),
            ("half a chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n50\r\n\"b", ""),
            ("chunk size of letters", "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n", "xyz\r\n\"b\"}\r\n0\r\n\r\n"),
            ("chunk size below nothing", "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n", "-4\r\n\"b\"}\r\n0\r\n\r\n"),
            ("chunk size beyond counting", "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n", "fffffffffffffffff\r\n\"b\"}\r\n0\r\n\r\n"),
            ("chunk longer than it says", "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n", "2\r\n\"b\"}\r\n0\r\n\r\n"),
            ("endless chunk extension", "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n", "4;" + new string('x', 200_000)),
            ("JSON that ends with its connection", "Connection: close\r\n\r\n{\"a\":", ""),
        ];
        foreach (var (name, head, rest) in aborted)
        {
            yield return new(name, new HostileAnswer(Chat, false, Seen.Aborted, async (exchange, seen) =>
            {
                await exchange.WriteAsync(Json + head);
                await seen;
                await exchange.WriteAsync(rest);
                exchange.Close();
            })
            {
                Bytes = name == "half a chunk" ? "{\"a\":\"b"u8.ToArray() : "{\"a\":"u8.ToArray(),
            });
        }

        yield return new("reset in the middle", new HostileAnswer(Chat, false, Seen.Aborted, async (exchange, seen) =>
        {
            await exchange.WriteAsync(Json + "Content-Length: 100\r\n\r\n{\"a\":");
            await seen;
            exchange.Reset();
        })
        {
            Bytes = "{\"a\":"u8.ToArray(),
        });
    }

    private static IEnumerable<KeyValuePair<string, HostileAnswer>> Streams()
    {
        (string Path, string First, string Last)[] apis =
        [
            (Chat, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n", "data: [DONE]\n\n"),
            ("/v1/completions", "data: {\"choices\":[{\"text\":\"a\"}]}\n\n", "data: [DONE]\n\n"),
            ("/v1/responses", "event: response.output_text.delta\ndata: {\"delta\":\"a\"}\n\n", "event: response.completed\ndata: {}\n\n"),
            ("/v1/messages", "event: content_block_delta\ndata: {\"delta\":{\"text\":\"a\"}}\n\n", "event: message_stop\ndata: {}\n\n"),
            ("/completion", "data: {\"content\":\"a\",\"stop\":false}\n\n", "data: {\"content\":\"\",\"stop\":true}\n\n"),
        ];
        foreach (var (path, first, last) in apis)
        {
            foreach (var (name, text) in Whole(first, last))
            {
                yield return new($"{name}, {path}", new HostileAnswer(path, true, Seen.Relayed, Streams(text, ends: true)) { Bytes = text });
            }

            foreach (var (name, before, rest) in Cut(first))
            {
                yield return new($"{name}, {path}", new HostileAnswer(path, true, Seen.Broken, Streams(Encoding.UTF8.GetBytes(before), ends: true, Encoding.UTF8.GetBytes(rest))) { Bytes = Encoding.UTF8.GetBytes(before) });
            }

            yield return new($"no last chunk, {path}", new HostileAnswer(path, true, Seen.Broken, Streams(Encoding.UTF8.GetBytes(first), ends: false)) { Bytes = Encoding.UTF8.GetBytes(first) });
            yield return new($"bad chunk, {path}", new HostileAnswer(path, true, Seen.Broken, async (exchange, seen) =>
            {
                await exchange.WriteAsync(Events);
                await exchange.WriteChunkAsync(first);
                await seen;
                await exchange.WriteAsync("zz\r\n");
                exchange.Close();
            })
            {
                Bytes = Encoding.UTF8.GetBytes(first),
            });
            yield return new($"reset, {path}", new HostileAnswer(path, true, Seen.Broken, async (exchange, seen) =>
            {
                await exchange.WriteAsync(Events);
                await exchange.WriteChunkAsync(first);
                await seen;
                exchange.Reset();
            })
            {
                Bytes = Encoding.UTF8.GetBytes(first),
            });
            yield return new($"error of its own, {path}", new HostileAnswer(path, true, Seen.BrokenByItself, Streams(Encoding.UTF8.GetBytes(first + Error(path)), ends: true)) { Bytes = Encoding.UTF8.GetBytes(first + Error(path)) });
            yield return new($"end of its API, and then a connection that stays, {path}", new HostileAnswer(path, true, Seen.Relayed, async (exchange, _) =>
            {
                await exchange.WriteAsync(Events);
                await exchange.WriteChunkAsync(first + last);
                await exchange.ClosedByGatewayAsync();
            })
            {
                Bytes = Encoding.UTF8.GetBytes(first + last),
            });
            yield return new($"comments and no more, {path}", new HostileAnswer(path, true, Seen.Refused, Streams(": a\n\n: b\n\n"u8.ToArray(), ends: true)) { Status = 502, Code = "backend_failed" });
            yield return new($"half an event and no more, {path}", new HostileAnswer(path, true, Seen.Refused, Streams("data: {\"cho"u8.ToArray(), ends: true)) { Status = 502, Code = "backend_failed" });
            yield return new($"text that is no event, {path}", new HostileAnswer(path, true, Seen.Refused, Streams(Encoding.UTF8.GetBytes(Secret), ends: true)) { Status = 502, Code = "backend_failed" });
            yield return new($"a JSON answer where a stream was asked for, {path}", new HostileAnswer(path, true, Seen.Relayed, Says(Json + "Content-Length: 2\r\n\r\n{}")) { Bytes = "{}"u8.ToArray() });
        }
    }

    private static IEnumerable<(string Name, byte[] Text)> Whole(string first, string last)
    {
        yield return ("event of 5 MB", Encoding.UTF8.GetBytes($"{first}data: {new string('x', 5_000_000)}\n\n{last}"));
        yield return ("character cut in two by a chunk", Encoding.UTF8.GetBytes($"{first}data: \"äöü漢字😀\"\n\n{last}"));
        yield return ("bytes that are no UTF-8", [.. Encoding.UTF8.GetBytes(first), .. "data: "u8, 0xff, 0xfe, 0x00, 0xc3, .. "\n\n"u8, .. Encoding.UTF8.GetBytes(last)]);
        yield return ("line ends in any mix", Encoding.UTF8.GetBytes($"{first}: c\r\n\r\ndata: 1\r\rdata: 2\ndata: 3\r\n\n{last}"));
        yield return ("NULs", Encoding.UTF8.GetBytes($"{first}data: \0\0\0\n\n\0\0: x\n\n{last}"));
        yield return ("byte order mark", Encoding.UTF8.GetBytes($"\uFEFF{first}{last}"));
        yield return ("fields nobody knows", Encoding.UTF8.GetBytes($"retry: 1\nid: 7\nfoo: bar\nnonsense\n\n{first}{last}"));
        yield return ("usage that lies", Encoding.UTF8.GetBytes($"{first}data: {{\"usage\":{{\"prompt_tokens\":-1,\"completion_tokens\":99999999999999999999,\"x\":{{\"usage\":{{\n\n{last}"));
        yield return ("ten thousand events at once", Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(first, 10_000)) + last));
        yield return ("blank lines", Encoding.UTF8.GetBytes($"{first}\n\n\n\r\n{last}"));
        yield return ("text behind the end", Encoding.UTF8.GetBytes($"{first}{last}data: more\n\n"));
    }

    private static IEnumerable<(string Name, string Before, string After)> Cut(string first)
    {
        yield return ("clean end before the API's own", first, "");
        yield return ("half an event at the end", first + first, first[..^1]);
        yield return ("half a character at the end", first, "data: \"\u00e4");
        yield return ("half of the API's end", first, "data: [DONE");
        yield return ("comment at the end", first + ": x\n\n", "");
    }

    private static string Error(string path) => path switch
    {
        "/v1/responses" => "event: error\ndata: {\"type\":\"error\",\"message\":\"own\"}\n\n",
        "/v1/messages" => "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"own\"}}\n\n",
        _ => "data: {\"error\":{\"code\":500,\"message\":\"own\",\"type\":\"server_error\"}}\n\n",
    };

    private static string Refusal(int status) =>
        $"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {34 + Secret.Length}\r\n\r\n{{\"error\":{{\"message\":\"{Secret}\",\"code\":1}}}}";

    private static Func<StubExchange, Task, Task> Says(string bytes) => async (exchange, _) =>
    {
        await exchange.WriteAsync(Encoding.UTF8.GetBytes(bytes));
        exchange.Close();
    };

    // In chunks of odd sizes, which cut lines and characters.
    private static Func<StubExchange, Task, Task> Streams(byte[] text, bool ends, byte[]? rest = null) => async (exchange, _) =>
    {
        await exchange.WriteAsync(Events);
        byte[] all = [.. text, .. rest ?? []];
        var size = all.Length > 100_000 ? 30_011 : 7;
        foreach (var chunk in all.Chunk(size))
        {
            await exchange.WriteAsync(Encoding.ASCII.GetBytes($"{chunk.Length:x}\r\n"));
            await exchange.WriteAsync(chunk);
            await exchange.WriteAsync("\r\n");
        }

        if (ends)
        {
            await exchange.WriteAsync("0\r\n\r\n");
        }

        exchange.Close();
    };
}
