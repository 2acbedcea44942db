using System.Buffers;
using System.Security.Cryptography;
using System.Text.Encodings.Web;
using System.Text.Json;
using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.Api;

/// <summary>One request and its answer.</summary>
internal sealed class Exchange(Simulation simulation, HttpContext http) : IDisposable
{
    public static readonly JsonWriterOptions JsonOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    private const string IdLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    private JsonDocument? _document;

    public Simulation Simulation { get; } = simulation;

    public HttpContext Http { get; } = http;

    public CancellationToken Aborted => Http.RequestAborted;

    /// <summary>The parsed body; undefined before <see cref="ParseBody"/>.</summary>
    public JsonElement Body => _document?.RootElement ?? default;

    public async Task<ReadOnlyMemory<byte>> ReadBodyAsync()
    {
        var buffer = new ArrayBufferWriter<byte>((int)Math.Clamp(Http.Request.ContentLength ?? 0, 256, 1 << 20));
        while (true)
        {
            var read = await Http.Request.Body.ReadAsync(buffer.GetMemory(4096), Aborted).ConfigureAwait(false);
            if (read == 0)
            {
                return buffer.WrittenMemory;
            }

            buffer.Advance(read);
        }
    }

    /// <exception cref="ApiException">400 with the text of the real server's parser.</exception>
    public void ParseBody(ReadOnlyMemory<byte> body)
    {
        if (body.IsEmpty)
        {
            throw ApiException.Invalid("[json.exception.parse_error.101] parse error at line 1, column 1: attempting to parse an empty input; check that your input string or stream contains the expected JSON");
        }

        try
        {
            _document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = 512 });
        }
        catch (JsonException e)
        {
            throw ApiException.Invalid($"[json.exception.parse_error.101] parse error at line {(e.LineNumber ?? 0) + 1}, column {(e.BytePositionInLine ?? 0) + 1}: syntax error while parsing value - invalid literal");
        }
    }

    public static byte[] Json(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(buffer, JsonOptions))
        {
            write(json);
        }

        return buffer.WrittenSpan.ToArray();
    }

    public Task ReplyAsync(Action<Utf8JsonWriter> write) => ReplyAsync(Json(write), "application/json; charset=utf-8");

    public async Task ReplyAsync(ReadOnlyMemory<byte> body, string contentType)
    {
        var response = Http.Response;
        response.ContentType = contentType;
        response.ContentLength = body.Length;
        if (!HttpMethods.IsHead(Http.Request.Method))
        {
            await response.BodyWriter.WriteAsync(body, Aborted).ConfigureAwait(false);
        }
    }

    public Task ReplyAsync(ApiException error)
    {
        Http.Response.StatusCode = error.Status;
        Http.Response.Headers.Connection = "close";
        Http.Response.Headers.Remove("Keep-Alive");
        return ReplyAsync(error.Write);
    }

    public static string NewId(string prefix) => prefix + RandomNumberGenerator.GetString(IdLetters, 32);

    /// <summary>Waits as long as the faults in force say so, or until the client goes.</summary>
    public async Task HoldWhileAsync(Func<Faults, bool> condition)
    {
        while (Simulation.Faults.Changed is var changed && condition(Simulation.Faults.Current))
        {
            await changed.WaitAsync(Aborted).ConfigureAwait(false);
        }
    }

    public void Dispose() => _document?.Dispose();
}
