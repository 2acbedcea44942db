using System.Buffers;
using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using LlmGateway.LoadTests.Scenarios;

namespace LlmGateway.LoadTests.Client;

/// <summary>Sends chat completions to one server and watches what comes back. Lean: thousands of streams run at once beside the server under test.</summary>
internal sealed class OpenAiClient : IDisposable
{
    /// <summary>The reason of an error: the connection ended without a byte of an answer.</summary>
    public const string ResponseEnded = "response ended";

    private const int MostErrorBytes = 64 * 1024;
    private const int MostAnswerBytes = 16 * 1024 * 1024;
    private const int SlowReadBytes = 2048;

    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly Uri _chat;
    private readonly string _model;
    private readonly bool _isTextChecked;
    private readonly bool _isConnectionNew;
    private readonly ImmutableArray<KeyShare> _keys;
    private readonly HttpMessageInvoker _invoker = new(NewHandler());
    private readonly Lazy<HttpMessageInvoker> _slowInvoker = new(static () => new HttpMessageInvoker(NewHandler(receiveBuffer: 4096)));

    /// <param name="url">Base URL, with or without <c>/v1</c>.</param>
    /// <param name="model">Model to ask for.</param>
    /// <param name="keys">API keys that planned requests name by their place.</param>
    /// <param name="isTextChecked">Hold the text of a simulator, which says itself that it is one, against what it must have said.</param>
    /// <param name="isConnectionNew">Use no connection twice.</param>
    public OpenAiClient(Uri url, string model, ImmutableArray<KeyShare> keys, bool isTextChecked, bool isConnectionNew = false)
    {
        var root = url.AbsoluteUri.TrimEnd('/');
        _chat = new Uri((root.EndsWith("/v1", StringComparison.Ordinal) ? root : root + "/v1") + "/chat/completions");
        (_model, _keys, _isTextChecked, _isConnectionNew) = (model, keys, isTextChecked, isConnectionNew);
    }

    /// <summary>Sends one request and fills the record. Never throws.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="record">Where the findings go.</param>
    /// <param name="patience">Longest wait, from the intended start.</param>
    /// <param name="answer">Collects the text of the answer, for the next turn; null does not.</param>
    public async Task SendAsync(PlannedRequest request, RequestRecord record, TimeSpan patience, StringBuilder? answer)
    {
        (record.IsStream, record.Key) = (request.Stream, request.Key);
        var limit = request.LeaveAfter is { } leave && leave < patience ? leave : patience;
        var left = limit - Stopwatch.GetElapsedTime(record.IntendedStart);
        using var cancel = new CancellationTokenSource(left > TimeSpan.Zero ? left : TimeSpan.Zero);
        try
        {
            using var message = NewMessage(request);
            record.Sent = Stopwatch.GetTimestamp();
            using var response = await Invoker(request).SendAsync(message, cancel.Token).ConfigureAwait(false);
            if (response.Headers.TryGetValues("x-llmgateway-queue-ms", out var queue)
                && double.TryParse(queue.First(), NumberStyles.Float, CultureInfo.InvariantCulture, out var milliseconds))
            {
                record.QueueMilliseconds = milliseconds;
            }

            if (response.StatusCode != HttpStatusCode.OK)
            {
                await ReadRefusalAsync(response, record, cancel.Token).ConfigureAwait(false);
            }
            else if (request.Stream)
            {
                await ReadStreamAsync(request, response, record, answer, cancel.Token).ConfigureAwait(false);
            }
            else
            {
                await ReadWholeAsync(request, response, record, answer, cancel.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            record.Outcome = limit < patience ? Outcome.Left : Outcome.ClientTimeout;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or InvalidDataException or SocketException)
        {
            record.Outcome = record.FirstToken > 0 ? Outcome.BrokenStream : Outcome.Error;
            record.Reason = ReasonOf(e);
        }

        if (record.End == 0)
        {
            record.End = Stopwatch.GetTimestamp();
        }
    }

    public void Dispose()
    {
        _invoker.Dispose();
        if (_slowInvoker.IsValueCreated)
        {
            _slowInvoker.Value.Dispose();
        }
    }

    private static SocketsHttpHandler NewHandler(int? receiveBuffer = null) => new()
    {
        UseProxy = false,
        UseCookies = false,
        AllowAutoRedirect = false,
        AutomaticDecompression = DecompressionMethods.None,
        ActivityHeadersPropagator = null,
        MaxConnectionsPerServer = int.MaxValue,
        PooledConnectionIdleTimeout = TimeSpan.FromSeconds(30),
        ConnectCallback = async (context, cancellationToken) =>
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                if (receiveBuffer is { } size)
                {
                    // Before the connection: it decides what the window may become.
                    socket.ReceiveBufferSize = size;
                }

                await socket.ConnectAsync(context.DnsEndPoint, cancellationToken).ConfigureAwait(false);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        },
    };

    private HttpMessageInvoker Invoker(PlannedRequest request) => request.BytesPerSecond is null ? _invoker : _slowInvoker.Value;

    private HttpRequestMessage NewMessage(PlannedRequest request)
    {
        var body = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("model", _model);
            json.WriteBoolean("stream", request.Stream);
            json.WriteNumber("max_tokens", request.MaxTokens);
            json.WriteStartArray("messages");
            foreach (var (role, content) in request.Messages)
            {
                json.WriteStartObject();
                json.WriteString("role", role);
                json.WriteString("content", content);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        var message = new HttpRequestMessage(HttpMethod.Post, _chat)
        {
            Version = HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ReadOnlyMemoryContent(body.WrittenMemory) { Headers = { ContentType = Json } },
        };
        if (_isConnectionNew)
        {
            message.Headers.ConnectionClose = true;
        }

        if (request.Key is { } key)
        {
            message.Headers.TryAddWithoutValidation("Authorization", "Bearer " + _keys[key].Key);
        }

        if (request.Session is { } session)
        {
            message.Headers.TryAddWithoutValidation("x-session-id", session);
        }

        return message;
    }

    private async Task ReadStreamAsync(
        PlannedRequest request, HttpResponseMessage response, RequestRecord record, StringBuilder? answer, CancellationToken cancellationToken)
    {
        if (response.Content.Headers.ContentType?.MediaType != "text/event-stream")
        {
            record.Reason = "not an event stream";
            return;
        }

        var body = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        await using var _ = body.ConfigureAwait(false);
        using var events = new SseReader();
        var state = new StreamState(record, new AnswerCheck(request), _isTextChecked, answer);
        while (true)
        {
            var free = events.Free();
            if (request.BytesPerSecond is not null && free.Length > SlowReadBytes)
            {
                free = free[..SlowReadBytes];
            }

            var read = await body.ReadAsync(free, cancellationToken).ConfigureAwait(false);
            if (read == 0)
            {
                break;
            }

            events.Advance(read);
            record.Bytes += read;
            var now = Stopwatch.GetTimestamp();
            while (events.TryRead(out var e))
            {
                state.Take(e, now);
            }

            if (request.BytesPerSecond is { } pace)
            {
                await Task.Delay(TimeSpan.FromSeconds((double)read / pace), TimeProvider.System, cancellationToken).ConfigureAwait(false);
            }
        }

        state.Close(events.HasPart);
    }

    private async Task ReadWholeAsync(
        PlannedRequest request, HttpResponseMessage response, RequestRecord record, StringBuilder? answer, CancellationToken cancellationToken)
    {
        using var body = await ReadBodyAsync(response, MostAnswerBytes, cancellationToken).ConfigureAwait(false);
        record.End = Stopwatch.GetTimestamp();
        record.Bytes = body.Length;
        if (!AnswerFacts.TryRead(body.Span, out var facts) || !facts.HasFinish)
        {
            record.Reason = "not an answer";
            return;
        }

        record.Tokens = facts.CompletionTokens ?? 0;
        answer?.Append(Encoding.UTF8.GetString(facts.Content(body.Span)));
        record.Outcome = Outcome.Ok;
        if (_isTextChecked && facts.IsSimulated)
        {
            record.IsTextChecked = true;
            var check = new AnswerCheck(request);
            if (!check.Take(facts.Content(body.Span)) || !check.IsWhole)
            {
                (record.Outcome, record.Reason) = (Outcome.WrongText, "not the text of this prompt");
            }
        }
    }

    private static async Task ReadRefusalAsync(HttpResponseMessage response, RequestRecord record, CancellationToken cancellationToken)
    {
        using var body = await ReadBodyAsync(response, MostErrorBytes, cancellationToken).ConfigureAwait(false);
        record.End = Stopwatch.GetTimestamp();
        record.Bytes = body.Length;
        AnswerFacts.TryRead(body.Span, out var facts);
        var isBare = response.Headers.RetryAfter is null;
        record.Outcome = (int)response.StatusCode switch
        {
            429 => isBare ? Outcome.Refused429Bare : Outcome.Refused429,
            503 => isBare ? Outcome.Refused503Bare : Outcome.Refused503,
            _ => Outcome.Error,
        };
        var status = ((int)response.StatusCode).ToString(CultureInfo.InvariantCulture);
        record.Reason = facts.ErrorCode is { } code && code != status ? $"{status} {code}" : status;
    }

    private static async Task<PooledBody> ReadBodyAsync(HttpResponseMessage response, int limit, CancellationToken cancellationToken)
    {
        var stream = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        await using var _ = stream.ConfigureAwait(false);
        var body = new PooledBody();
        try
        {
            while (true)
            {
                var read = await stream.ReadAsync(body.Free(limit), cancellationToken).ConfigureAwait(false);
                if (read == 0)
                {
                    return body;
                }

                body.Length += read;
            }
        }
        catch
        {
            body.Dispose();
            throw;
        }
    }

    private static string ReasonOf(Exception e) => e switch
    {
        InvalidDataException => e.Message,
        HttpIOException io => Words(io.HttpRequestError.ToString()),
        HttpRequestException { InnerException: SocketException socket } => Words(socket.SocketErrorCode.ToString()),
        HttpRequestException request when request.HttpRequestError != HttpRequestError.Unknown => Words(request.HttpRequestError.ToString()),
        { InnerException: SocketException socket } => Words(socket.SocketErrorCode.ToString()),
        _ => e.GetType().Name,
    };

    /// <summary><c>ConnectionReset</c> as <c>connection reset</c>.</summary>
    private static string Words(string name) => string.Concat(name.Select((c, i) => char.IsUpper(c) ? (i == 0 ? "" : " ") + char.ToLowerInvariant(c) : c.ToString()));

    /// <summary>What is known of a stream so far, and what each event does to it.</summary>
    private sealed class StreamState(RequestRecord record, AnswerCheck check, bool isTextChecked, StringBuilder? answer)
    {
        private AnswerCheck _check = check;
        private long _lastToken;
        private bool _isDone;
        private bool _isDecided;

        public void Take(SseEvent e, long now)
        {
            if (_isDecided)
            {
                return;
            }

            if (_isDone)
            {
                Decide(Outcome.BrokenStream, "data after [DONE]");
            }
            else if (e.IsDone)
            {
                (_isDone, record.End) = (true, now);
            }
            else if (!AnswerFacts.TryRead(e.Data, out var facts))
            {
                Decide(Outcome.BrokenStream, "an event that is no JSON object");
            }
            else if (facts.HasError || e.IsError)
            {
                Decide(Outcome.BrokenStream, "error event " + facts.ErrorCode);
            }
            else
            {
                Chunk(facts, facts.Content(e.Data), now);
            }
        }

        public void Close(bool hasPart)
        {
            if (_isDecided)
            {
                return;
            }

            if (!_isDone || hasPart)
            {
                Decide(Outcome.BrokenStream, hasPart ? "ended in half an event" : "ended without [DONE]");
            }
            else if (record.IsTextChecked && !_check.IsWhole)
            {
                Decide(Outcome.WrongText, "tokens are missing");
            }
            else
            {
                Decide(Outcome.Ok, null);
            }
        }

        private void Chunk(AnswerFacts facts, ReadOnlySpan<byte> content, long now)
        {
            if (record.FirstToken == 0)
            {
                record.FirstToken = now;
            }

            if (facts.HasToken)
            {
                record.Tokens++;
                if (_lastToken > 0)
                {
                    record.AddGap(now - _lastToken);
                }

                _lastToken = now;
            }

            if (isTextChecked && facts.IsSimulated)
            {
                record.IsTextChecked = true;
                if (!_check.Take(content))
                {
                    Decide(Outcome.WrongText, "a chunk is lost, twice, or foreign");
                }
            }

            answer?.Append(Encoding.UTF8.GetString(content));
        }

        private void Decide(Outcome outcome, string? reason)
        {
            _isDecided = true;
            (record.Outcome, record.Reason) = (outcome, reason);
        }
    }

    private sealed class PooledBody : IDisposable
    {
        private byte[] _buffer = ArrayPool<byte>.Shared.Rent(4096);

        public int Length { get; set; }

        public ReadOnlySpan<byte> Span => _buffer.AsSpan(0, Length);

        public Memory<byte> Free(int limit)
        {
            if (Length == _buffer.Length)
            {
                if (Length >= limit)
                {
                    throw new InvalidDataException($"a body of more than {limit} bytes");
                }

                var larger = ArrayPool<byte>.Shared.Rent(_buffer.Length * 2);
                Span.CopyTo(larger);
                ArrayPool<byte>.Shared.Return(_buffer);
                _buffer = larger;
            }

            return _buffer.AsMemory(Length);
        }

        public void Dispose()
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = [];
        }
    }
}
