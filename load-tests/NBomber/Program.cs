// Runs a scenario of load-tests by NBomber: its load simulations, steps, thresholds and reports.
//
//   load-tests-nbomber SCENARIO URL [MODEL] [REPORT-FOLDER]
using LlmGateway.LoadTests.NBomber;
using LlmGateway.LoadTests.Scenarios;
using NBomber.Contracts.Stats;
using NBomber.CSharp;

if (args.Length < 2 || ScenarioCatalogue.All.FirstOrDefault(scenario => scenario.Name == args[0]) is not { } chosen || !Uri.TryCreate(args[1], UriKind.Absolute, out var url))
{
    Console.Error.WriteLine("Usage: load-tests-nbomber SCENARIO URL [MODEL] [REPORT-FOLDER]");
    Console.Error.WriteLine($"Scenarios: {string.Join(", ", ScenarioCatalogue.All.Select(static scenario => scenario.Name))}");
    return 2;
}

using var translated = new Translation(chosen, url, args.ElementAtOrDefault(2) ?? "demo");
var result = NBomberRunner
    .RegisterScenarios(translated.ToNBomber())
    .WithReportFolder(args.ElementAtOrDefault(3) ?? "nbomber-report")
    .WithReportFormats(ReportFormat.Html, ReportFormat.Md, ReportFormat.Csv)
    .Run();
return result.Thresholds.Any(static threshold => threshold.IsFailed) ? 1 : 0;
