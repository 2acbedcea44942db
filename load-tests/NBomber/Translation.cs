using System.Diagnostics;
using System.Globalization;
using System.Text;
using LlmGateway.LoadTests.Client;
using LlmGateway.LoadTests.Scenarios;
using NBomber.Contracts;
using NBomber.CSharp;

namespace LlmGateway.LoadTests.NBomber;

/// <summary>A scenario of ours in NBomber's words. What is asked, and what counts as an answer, is the same code as in our own runner.</summary>
internal sealed class Translation(Scenarios.Scenario scenario, Uri url, string model) : IDisposable
{
    private readonly OpenAiClient _client = new(url, model, scenario.Mix.Keys, isTextChecked: true);
    private long _visits;

    public ScenarioProps ToNBomber() => Scenario
        .Create(scenario.Name, VisitAsync)
        .WithoutWarmUp()
        .WithLoadSimulations([.. scenario.Stages.SelectMany(Simulations)])
        .WithThresholds([.. Thresholds()]);

    public void Dispose() => _client.Dispose();

    /// <summary>One client: a step for each turn of its conversation.</summary>
    private async Task<IResponse> VisitAsync(IScenarioContext context)
    {
        var visit = new Visit(scenario, Interlocked.Increment(ref _visits));
        string? answer = null;
        for (var turn = 1; turn <= visit.Turns; turn++)
        {
            var request = visit.Next(answer);
            var text = turn < visit.Turns ? new StringBuilder() : null;
            var response = await Step.Run("turn", context, async () =>
            {
                var record = new RequestRecord { IntendedStart = Stopwatch.GetTimestamp() };
                await _client.SendAsync(request, record, scenario.Patience, text);
                var label = record.Outcome.ToLabel();
                return record.Outcome is Outcome.Ok or Outcome.Left
                    ? Response.Ok(statusCode: label, sizeBytes: (int)record.Bytes)
                    : Response.Fail(statusCode: label, message: record.Reason ?? label, sizeBytes: (int)record.Bytes);
            });
            if (response.IsError)
            {
                return Response.Fail(statusCode: response.StatusCode);
            }

            answer = text?.ToString();
            if (turn < visit.Turns)
            {
                await Task.Delay(visit.Think(), TimeProvider.System, context.ScenarioCancellationToken);
            }
        }

        return Response.Ok();
    }

    private IEnumerable<LoadSimulation> Simulations(Stage stage)
    {
        var second = TimeSpan.FromSeconds(1);
        switch (stage)
        {
            case ClosedStage closed:
                yield return Simulation.KeepConstant(closed.Workers, closed.Duration);
                break;
            case OpenStage { FromLoad: var from, ToLoad: var to } when from != to:
                // NBomber ramps from the rate before; a stage of ours says its own.
                yield return Simulation.RampingInject(Rate(to), second, stage.Duration);
                break;
            case OpenStage open:
                yield return Simulation.Inject(Rate(open.FromLoad), second, stage.Duration);
                break;
        }
    }

    private int Rate(double load) => Math.Max(1, (int)Math.Round(load * scenario.Rate));

    /// <summary>The thresholds that NBomber can express: shares of failures.</summary>
    private IEnumerable<Threshold> Thresholds()
    {
        foreach (var (name, limit) in scenario.Thresholds)
        {
            if (name == "max-error-rate")
            {
                var percent = double.Parse(limit, CultureInfo.InvariantCulture) * 100;
                yield return Threshold.Create(stats => stats.Fail.Request.Percent <= percent);
            }
        }
    }
}
