using System.Globalization;
using System.Text;

namespace LlmGateway.Simulator.Hosting;

/// <summary>llama-server's log on standard error.</summary>
/// <remarks>Written synchronously, as the real one does: a parent that does not read blocks whoever logs.</remarks>
internal sealed class ServerLog(Stream output, int verbosity, TimeProvider time)
{
    private readonly Lock _lock = new();
    private readonly long _start = time.GetTimestamp();
    private double _longestWrite;

    /// <summary>Information is not written.</summary>
    public bool IsQuiet => verbosity < 3;

    /// <summary>Longest time that one write has taken, in milliseconds: how long a reader that lags has held this process up.</summary>
    public double LongestWriteMs => Volatile.Read(ref _longestWrite);

    public void Info(string area, string function, string message) => Write(3, 'I', area, function, message);

    public void Warn(string area, string function, string message) => Write(2, 'W', area, function, message);

    public void Error(string area, string function, string message) => Write(1, 'E', area, function, message);

    /// <summary>Writes bytes as they are.</summary>
    public void Raw(ReadOnlySpan<byte> bytes)
    {
        var start = time.GetTimestamp();
        lock (_lock)
        {
            try
            {
                output.Write(bytes);
                output.Flush();
            }
            catch (IOException)
            {
                // The reader has gone; the real server goes on as well.
            }

            var took = time.GetElapsedTime(start).TotalMilliseconds;
            if (took > _longestWrite)
            {
                Volatile.Write(ref _longestWrite, took);
            }
        }
    }

    private void Write(int level, char letter, string area, string function, string message)
    {
        if (level > verbosity)
        {
            return;
        }

        var at = time.GetElapsedTime(_start);
        Raw(Encoding.UTF8.GetBytes(string.Create(
            CultureInfo.InvariantCulture,
            $"{(int)at.TotalMinutes}.{at.Seconds:D2}.{at.Milliseconds:D3}.{at.Microseconds:D3} {letter} {area,-4} {function,12}: {message}\n")));
    }
}
