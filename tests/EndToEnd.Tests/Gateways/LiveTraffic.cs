using System.Collections.Concurrent;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>Clients that ask for one stream after the other, until stopped: what a fault costs is what they lose.</summary>
/// <remarks>
/// The connection of a stream that broke is closed behind it. Whoever sends his next request on it in that very moment gets no answer, and
/// asks again on another one, as every client does: such a request was not accepted.
/// </remarks>
internal sealed class LiveTraffic : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentQueue<StreamedAnswer> _answers = new();
    private readonly Task _clients;
    private int _closed;

    private LiveTraffic(HttpClient client, int clients, string model, int tokens) =>
        _clients = Task.WhenAll(Enumerable.Range(0, clients).Select(async _ =>
        {
            while (!_stop.IsCancellationRequested)
            {
                try
                {
                    var answer = await client.StreamAsync(model, tokens, CancellationToken.None);
                    _answers.Enqueue(await answer.ReadToEndAsync(CancellationToken.None));
                }
                catch (HttpRequestException e) when (e.HttpRequestError is HttpRequestError.ResponseEnded)
                {
                    Interlocked.Increment(ref _closed);
                }
            }
        }));

    /// <summary>Answers so far.</summary>
    public int Count => _answers.Count;

    /// <summary>Requests that met a connection in the moment of its end.</summary>
    public int Closed => Volatile.Read(ref _closed);

    public static LiveTraffic Start(HttpClient client, int clients, string model, int tokens) => new(client, clients, model, tokens);

    /// <summary>Lets what runs finish, and returns all answers that are not whole.</summary>
    public async Task<IReadOnlyList<StreamedAnswer>> StopAsync(CancellationToken cancellationToken)
    {
        await _stop.CancelAsync();
        await _clients.WaitAsync(cancellationToken);
        return [.. _answers.Where(answer => !answer.IsWhole)];
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAny(_clients);
        _stop.Dispose();
    }
}
