using System.Text.Json;
using LlmGateway.Gateway.Scheduling.Breaking;
using LlmGateway.Gateway.Telemetry;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>Tells people what the queues decide: each step of a breaker, and that requests are refused.</summary>
internal sealed class SchedulingNews(EventFeed feed, EventBursts bursts, ILogger<SchedulingNews> logger)
{
    public void Broke(string backend, BreakerChange change)
    {
        var (from, to, because) = (Label(change.From), Label(change.To), Because(change.Reason));
        var level = change.To == BreakerState.Open ? EventLevel.Warning : EventLevel.Info;
        Log.BreakerChanged(logger, level == EventLevel.Warning ? LogLevel.Warning : LogLevel.Information, backend, from, to, because);
        feed.Publish(EventKind.Breaker, backend, $"{backend}: {because}.", level, from, to);
    }

    public void Refused(string model, string code) => bursts.Count(EventKind.Shed, model, $"requests are refused ({code})");

    /// <summary>The state or reason in the words of metrics and status.</summary>
    public static string Label<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());

    private static string Because(BreakerReason reason) => reason switch
    {
        BreakerReason.Faults => "too many requests failed, it is left alone for a while",
        BreakerReason.Exit => "its process has ended",
        BreakerReason.Ready => "it is ready again and gets one request to try",
        BreakerReason.Waited => "it was left alone for long enough and gets one request to try",
        BreakerReason.Last => "no other backend takes work, so it gets one request to try",
        BreakerReason.TrialPassed => "its trial request was served, its slots are opened one by one",
        _ => "its trial request failed, it is left alone for longer",
    };
}
