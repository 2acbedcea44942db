using System.Net;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>A streamed answer as its client sees it, one event after the other.</summary>
internal sealed class StreamedAnswer(HttpResponseMessage response) : IDisposable
{
    private readonly List<string> _events = [];
    private StreamReader? _reader;

    public HttpResponseMessage Response => response;

    public HttpStatusCode Status => response.StatusCode;

    /// <summary>The backend that answers, as the gateway names it.</summary>
    public string? Backend => response.Header("x-llmgateway-backend");

    /// <summary>The events so far, comments left out; for an answer that is no stream its one body.</summary>
    public IReadOnlyList<string> Events => _events;

    /// <summary>The connection broke before the HTTP message was complete.</summary>
    public Exception? Fault { get; private set; }

    /// <summary>The API's own end was there.</summary>
    public bool IsDone => _events.Contains("data: [DONE]");

    /// <summary>The last event is an error.</summary>
    public bool HasError => _events is [.., var last] && last.Contains("\"error\":{", StringComparison.Ordinal);

    /// <summary>Answered in full: 200, the API's end, no error.</summary>
    public bool IsWhole => Status == HttpStatusCode.OK && IsDone && !HasError && Fault is null;

    /// <summary>Broken off honestly: some tokens, then the error event, no end of the API, and a complete HTTP message.</summary>
    public bool IsBrokenHonestly => Status == HttpStatusCode.OK && !IsDone && HasError && Fault is null;

    /// <summary>The next event without its closing line; null at the end.</summary>
    public async Task<string?> NextAsync(CancellationToken cancellationToken)
    {
        _reader ??= new StreamReader(await response.Content.ReadAsStreamAsync(cancellationToken));
        if (Status != HttpStatusCode.OK)
        {
            var body = await _reader.ReadToEndAsync(cancellationToken);
            return body.Length > 0 ? Keep(body) : null;
        }

        var lines = new List<string>();
        while (await _reader.ReadLineAsync(cancellationToken) is { } line)
        {
            if (line.Length > 0)
            {
                if (!line.StartsWith(':'))
                {
                    lines.Add(line);
                }
            }
            else if (lines.Count > 0)
            {
                return Keep(string.Join('\n', lines));
            }
        }

        return lines.Count > 0 ? Keep(string.Join('\n', lines)) : null;
    }

    /// <summary>Reads on until so many events have come in all.</summary>
    public async Task<StreamedAnswer> ReadAsync(int events, CancellationToken cancellationToken)
    {
        while (_events.Count < events && await NextAsync(cancellationToken) is not null)
        {
        }

        return this;
    }

    /// <summary>Reads on to the end; a break of the connection is kept in <see cref="Fault"/>.</summary>
    public async Task<StreamedAnswer> ReadToEndAsync(CancellationToken cancellationToken)
    {
        try
        {
            while (await NextAsync(cancellationToken) is not null)
            {
            }
        }
        catch (Exception e) when (e is IOException or HttpRequestException)
        {
            Fault = e;
        }

        return this;
    }

    /// <summary>Leaves: the connection is closed at once when the answer is not complete.</summary>
    public void Dispose()
    {
        _reader?.Dispose();
        response.Dispose();
    }

    public override string ToString() => $"{(int)Status} from {Backend}, {_events.Count} events, the last {_events.LastOrDefault()}{(Fault is null ? "" : $", then {Fault.GetType().Name}: {Fault.Message}")}";

    private string Keep(string one)
    {
        _events.Add(one);
        return one;
    }
}
