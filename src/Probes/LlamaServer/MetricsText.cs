using System.Globalization;

namespace LlmGateway.Probes.LlamaServer;

/// <summary>Finds unlabelled samples in Prometheus text.</summary>
internal static class MetricsText
{
    public static double? Find(string text, string name)
    {
        foreach (var line in text.AsSpan().EnumerateLines())
        {
            if (!line.StartsWith(name, StringComparison.Ordinal) || line.Length <= name.Length || line[name.Length] is not (' ' or '\t'))
            {
                continue;
            }

            var value = line[name.Length..].Trim();
            var end = value.IndexOfAny(' ', '\t'); // a timestamp may follow
            value = end < 0 ? value : value[..end];
            if (double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number))
            {
                return number;
            }
        }

        return null;
    }
}
