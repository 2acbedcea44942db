using System.Diagnostics;
using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Operations;

/// <summary><c>/api/events</c> of a real gateway.</summary>
public sealed class EventStreamTests
{
    private const int Limit = 60_000;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = Limit)]
    public async Task Events_DuringAKill_TellEndAndReturnAndCanBeResumed()
    {
        await using var gateway = await GatewayProcess.StartAsync(
            """{ "Models": { "demo": { "Kind": "simulator", "Replicas": 1, "Restart": { "InitialBackoff": "100ms" } } } }""", Ct);
        var victim = (await gateway.UntilReadyAsync(Ct)).Replica("demo/0").Pid!.Value;

        var seen = new List<(long Id, string Kind, string? To)>();
        await foreach (var (id, kind, data) in ReadAsync(gateway, null, Ct))
        {
            seen.Add((id, kind, (string?)data["to"]));
            if (seen[^1].To == "ready")
            {
                if (seen.Any(one => one.Kind == "exit"))
                {
                    break;
                }

                Process.GetProcessById(victim).Kill();
            }
        }

        Assert.Contains(seen, one => one.Kind == "restart");
        Assert.Contains(seen, one => one.To == "backoff");
        Assert.Equal(seen.Select(one => one.Id).Order(), seen.Select(one => one.Id));

        // From the middle on, the same again: nothing twice, nothing left out.
        var middle = seen.Count / 2;
        var again = new List<long>();
        await foreach (var (id, _, _) in ReadAsync(gateway, seen[middle].Id, Ct))
        {
            again.Add(id);
            if (id == seen[^1].Id)
            {
                break;
            }
        }

        Assert.Equal(seen.Skip(middle + 1).Select(one => one.Id), again);
    }

    private static async IAsyncEnumerable<(long Id, string Kind, JsonNode Data)> ReadAsync(
        GatewayProcess gateway, long? after, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "api/events");
        if (after is { } id)
        {
            request.Headers.Add("Last-Event-ID", $"{id}");
        }

        using var response = await gateway.Management.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType?.MediaType);
        await foreach (var one in SseParser.Create(await response.Content.ReadAsStreamAsync(cancellationToken)).EnumerateAsync(cancellationToken))
        {
            yield return (long.Parse(one.EventId!, System.Globalization.CultureInfo.InvariantCulture), one.EventType, JsonNode.Parse(one.Data)!);
        }
    }
}
