using System.Text.Json;
using System.Text.Json.Serialization;
using LlmGateway.LoadTests.Measuring;

namespace LlmGateway.LoadTests.Reports;

/// <summary>A run's report as files: for programs, for a pull request, for eyes.</summary>
internal static class ReportFiles
{
    private static readonly JsonSerializerOptions Options = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        NewLine = "\n",
        NumberHandling = JsonNumberHandling.Strict,
        Converters = { new RoundedConverter() },
    };

    /// <summary>Writes <c>report.json</c>, <c>report.md</c> and <c>report.html</c>.</summary>
    public static void Write(RunReport report, string folder)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "report.json"), ToJson(report));
        File.WriteAllText(Path.Combine(folder, "report.md"), MarkdownReport.Render(report));
        File.WriteAllText(Path.Combine(folder, "report.html"), HtmlReport.Render(report));
    }

    public static string ToJson(RunReport report) => JsonSerializer.Serialize(report, Options) + "\n";

    /// <summary>Six digits behind the point: more is noise.</summary>
    private sealed class RoundedConverter : JsonConverter<double>
    {
        public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetDouble();

        public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options) => writer.WriteNumberValue(Math.Round(value, 6));
    }
}
