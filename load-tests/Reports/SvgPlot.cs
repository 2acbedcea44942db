using System.Globalization;
using System.Net;
using System.Text;
using static LlmGateway.LoadTests.Reports.Numbers;

namespace LlmGateway.LoadTests.Reports;

/// <summary>A plot as SVG, made here: axes, lines, stacked bars, and a name for each colour. Colours are classes of the page's style.</summary>
internal sealed class SvgPlot(string title, double xMax, string xUnit, Func<double, string> yLabel, double xMin = 0)
{
    private const int Width = 720;
    private const int Height = 260;
    private const int Left = 64;
    private const int Right = 12;
    private const int Top = 30;
    private const int Bottom = 46;

    private readonly List<(string Name, string Style, IReadOnlyList<(double X, double Y)?> Points)> _lines = [];
    private readonly List<(string Name, string Style)> _layers = [];
    private readonly List<(double From, double To, double[] Values)> _bars = [];
    private readonly List<(double From, double To, string Name)> _bands = [];

    /// <summary>Both axes logarithmic where set; zeros and less are not drawn then.</summary>
    public bool IsLogX { get; init; }

    /// <inheritdoc cref="IsLogX"/>
    public bool IsLogY { get; init; }

    public Func<double, string> XLabel { get; init; } = static x => Text(x, "0.##");

    /// <summary>Adds a line; null breaks it.</summary>
    public void Line(string name, string style, IReadOnlyList<(double X, double Y)?> points) => _lines.Add((name, style, points));

    /// <summary>Names the layers of the bars, lowest first.</summary>
    public void Layers(IEnumerable<(string Name, string Style)> layers) => _layers.AddRange(layers);

    /// <summary>Adds a bar with a value for each layer.</summary>
    public void Bar(double from, double to, params double[] values) => _bars.Add((from, to, values));

    /// <summary>Names a stretch of the x axis.</summary>
    public void Band(double from, double to, string name) => _bands.Add((from, to, name));

    public string Render()
    {
        var values = _lines.SelectMany(static line => line.Points).Where(static point => point is not null).Select(static point => point!.Value.Y)
            .Concat(_bars.Select(static bar => bar.Values.Sum()))
            .Where(value => !IsLogY || value > 0)
            .DefaultIfEmpty(1)
            .ToList();
        var ticks = IsLogY ? LogTicks(values.Min(), values.Max()) : LinearTicks(0, values.Max());
        var (yMin, yMax) = (ticks[0], ticks[^1]);
        var svg = new StringBuilder();
        Add($"<svg viewBox=\"0 0 {Width} {Height}\" role=\"img\" aria-label=\"{Escape(title)}\" xmlns=\"http://www.w3.org/2000/svg\">\n");
        Add($"<text class=\"title\" x=\"{Left}\" y=\"16\">{Escape(title)}</text>\n");
        Bands();
        foreach (var tick in ticks)
        {
            Add($"<line class=\"grid\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(tick)}\" y2=\"{Y(tick)}\"/>");
            Add($"<text class=\"tick\" x=\"{Left - 6}\" y=\"{Y(tick) + 4}\" text-anchor=\"end\">{Escape(yLabel(tick))}</text>\n");
        }

        foreach (var tick in (IsLogX ? LogTicks(xMin, xMax) : LinearTicks(xMin, xMax, about: 12)).Where(tick => tick >= xMin && tick <= xMax * 1.0001))
        {
            Add($"<text class=\"tick\" x=\"{X(tick)}\" y=\"{Height - Bottom + 15}\" text-anchor=\"middle\">{Escape(XLabel(tick))}</text>\n");
        }

        Add($"<text class=\"tick\" x=\"{Width - Right}\" y=\"{Height - Bottom + 30}\" text-anchor=\"end\">{Escape(xUnit)}</text>\n");
        Bars();
        Lines();
        Legend();
        return svg.Append("</svg>\n").ToString();

        double X(double x) => Math.Round(Left + ((Width - Left - Right) * Share(x, xMin, xMax, IsLogX)), 1);

        double Y(double y) => Math.Round(Height - Bottom - ((Height - Top - Bottom) * Share(y, yMin, yMax, IsLogY)), 1);

        void Add(FormattableString text) => svg.Append(text.ToString(CultureInfo.InvariantCulture));

        void Bands()
        {
            for (var i = 0; i < _bands.Count; i++)
            {
                var (from, to, name) = _bands[i];
                var width = X(to) - X(from);
                Add($"<rect class=\"band{i % 2}\" x=\"{X(from)}\" y=\"{Top}\" width=\"{width}\" height=\"{Height - Top - Bottom}\"><title>{Escape(name)}</title></rect>");
                if (width > name.Length * 5.5)
                {
                    Add($"<text class=\"stage\" x=\"{X(from) + 3}\" y=\"{Top + 10}\">{Escape(name)}</text>");
                }

                svg.Append('\n');
            }
        }

        void Bars()
        {
            foreach (var (from, to, layers) in _bars)
            {
                var sum = 0.0;
                for (var i = 0; i < layers.Length; i++)
                {
                    if (layers[i] > 0)
                    {
                        var (low, high) = (Y(sum), Y(sum += layers[i]));
                        Add($"<rect class=\"fill {_layers[i].Style}\" x=\"{X(from) + 0.5}\" y=\"{high}\" width=\"{Math.Max(0.5, X(to) - X(from) - 1)}\" height=\"{low - high}\">");
                        Add($"<title>{Escape($"{_layers[i].Name}: {Text(layers[i], "0.##")}")}</title></rect>\n");
                    }
                }
            }
        }

        void Lines()
        {
            foreach (var (_, style, points) in _lines)
            {
                var path = new StringBuilder();
                var isDown = false;
                foreach (var point in points)
                {
                    if (point is not { } at || (IsLogY && at.Y <= 0))
                    {
                        isDown = false;
                        continue;
                    }

                    path.Append(CultureInfo.InvariantCulture, $"{(isDown ? 'L' : 'M')}{X(at.X)} {Y(at.Y)}");
                    isDown = true;
                }

                Add($"<path class=\"line {style}\" d=\"{path}\"/>\n");
            }
        }

        void Legend()
        {
            double x = Left;
            foreach (var (name, style) in _lines.Select(static line => (line.Name, line.Style)).Concat(_layers))
            {
                Add($"<rect class=\"fill {style}\" x=\"{x}\" y=\"{Height - 16}\" width=\"10\" height=\"10\"/>");
                Add($"<text class=\"tick\" x=\"{x + 14}\" y=\"{Height - 7}\">{Escape(name)}</text>\n");
                x += 26 + (name.Length * 6.3);
            }
        }
    }

    public static string Escape(string text) => WebUtility.HtmlEncode(text);

    /// <summary>Marks at 1, 2 or 5 times a power of ten that hold both ends between them.</summary>
    internal static double[] LinearTicks(double min, double max, int about = 5)
    {
        var raw = Math.Max(max - min, 1e-6) / about;
        var power = Math.Pow(10, Math.Floor(Math.Log10(raw)));
        var step = power * (raw / power <= 1 ? 1 : raw / power <= 2 ? 2 : raw / power <= 5 ? 5 : 10);
        var (first, last) = ((int)Math.Floor(min / step), (int)Math.Ceiling(max / step));
        return [.. Enumerable.Range(first, Math.Max(1, last - first) + 1).Select(i => Math.Round(i * step, 9))];
    }

    /// <summary>Powers of ten that hold both ends between them; within a decade or two also 2 and 5 times.</summary>
    internal static double[] LogTicks(double min, double max)
    {
        var (low, high) = ((int)Math.Floor(Math.Log10(min)), (int)Math.Ceiling(Math.Log10(max)));
        high = Math.Max(high, low + 1);
        double[] steps = high - low <= 2 ? [1, 2, 5] : [1];
        return [.. Enumerable.Range(low, high - low).SelectMany(power => steps.Select(step => Math.Round(step * Math.Pow(10, power), 9))), Math.Pow(10, high)];
    }

    private static double Share(double value, double min, double max, bool isLog) =>
        Math.Clamp(isLog ? Math.Log(Math.Max(value, min) / min) / Math.Log(max / min) : (value - min) / (max - min), 0, 1);
}
