using System.Text;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>Makes lines that are safe to show out of any bytes. Pure but for its own buffer; one per stream.</summary>
/// <remarks>
/// A line is cut after <see cref="MaxLineBytes"/>, and says so; the rest of it is skipped. Invalid UTF-8 becomes U+FFFD. Control
/// characters, line separators and text-direction overrides are escaped: what a model or a client can make a server print must not
/// drive a terminal or fake a line.
/// </remarks>
internal sealed class LineCutter(Action<string> emit)
{
    /// <summary>Longest line.</summary>
    public const int MaxLineBytes = 16 * 1024;

    private readonly byte[] _line = new byte[MaxLineBytes];
    private int _length;
    private bool _cut;

    public void Add(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var end = bytes.IndexOf((byte)'\n');
            Append(end < 0 ? bytes : bytes[..end]);
            if (end < 0)
            {
                return;
            }

            Emit();
            bytes = bytes[(end + 1)..];
        }
    }

    /// <summary>The stream has ended: what is left is a line, too.</summary>
    public void End()
    {
        if (_length > 0)
        {
            Emit();
        }
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        var fits = Math.Min(bytes.Length, MaxLineBytes - _length);
        bytes[..fits].CopyTo(_line.AsSpan(_length));
        _length += fits;
        _cut |= fits < bytes.Length;
    }

    private void Emit()
    {
        var bytes = _line.AsSpan(0, _length);
        var text = Escape(Encoding.UTF8.GetString(bytes is [.., (byte)'\r'] ? bytes[..^1] : bytes));
        emit(_cut ? text + " …[cut]" : text);
        (_length, _cut) = (0, false);
    }

    internal static string Escape(string text)
    {
        if (!text.Any(IsUnsafe))
        {
            return text;
        }

        var escaped = new StringBuilder(text.Length + 16);
        foreach (var c in text)
        {
            _ = IsUnsafe(c) ? escaped.Append(System.Globalization.CultureInfo.InvariantCulture, $"\\u{(int)c:x4}") : escaped.Append(c);
        }

        return escaped.ToString();
    }

    private static bool IsUnsafe(char c) =>
        (char.IsControl(c) && c is not '\t') || c is '\u2028' or '\u2029' or (>= '\u202a' and <= '\u202e') or (>= '\u2066' and <= '\u2069');
}
