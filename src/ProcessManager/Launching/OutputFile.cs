using System.Globalization;
using System.Text;
using LlmGateway.ProcessManager.Orphans;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>How large and how many.</summary>
/// <param name="Bytes">Size at which a file is put aside.</param>
/// <param name="Count">Files that are kept, the present one included.</param>
internal readonly record struct OutputFileLimits(long Bytes, int Count)
{
    public static OutputFileLimits Default { get; } = new(10L << 20, 5);
}

/// <summary>One replica's file, and what waits to be written into it.</summary>
internal sealed class OutputFile(string path, OutputFileLimits limits, AutoResetEvent work) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Queue<string> _waiting = new();
    private long _dropped;
    private long _noted;
    private FileStream? _stream;

    public string Path => path;

    /// <summary>Kept by <see cref="OutputFiles"/>.</summary>
    public int Holders { get; set; }

    /// <summary>Lines that the disk did not get.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Takes a line; never waits.</summary>
    public void Add(DateTimeOffset at, int generation, string line)
    {
        var text = string.Create(CultureInfo.InvariantCulture, $"{at.UtcDateTime:yyyy-MM-ddTHH:mm:ss.fffZ} [{generation}] {line}\n");
        lock (_gate)
        {
            if (_waiting.Count >= OutputFiles.MostWaiting)
            {
                _waiting.Dequeue();
                _dropped++;
            }

            _waiting.Enqueue(text);
        }

        try
        {
            work.Set();
        }
        catch (ObjectDisposedException)
        {
            // The gateway has ended; the last words of a child stay unwritten.
        }
    }

    /// <summary>Writes what waits. Only the thread of <see cref="OutputFiles"/> calls it.</summary>
    /// <exception cref="IOException">The disk does not take it: it is lost, and counted.</exception>
    public void WriteWaiting()
    {
        string[] lines;
        long dropped;
        lock (_gate)
        {
            lines = [.. _waiting];
            _waiting.Clear();
            dropped = _dropped;
        }

        if (lines.Length == 0)
        {
            return;
        }

        try
        {
            var note = dropped > _noted ? $"… {(dropped - _noted).ToString(CultureInfo.InvariantCulture)} lines were dropped here: the disk was slower than the output\n" : "";
            foreach (var chunk in lines.Chunk(256))
            {
                var bytes = Encoding.UTF8.GetBytes(note + string.Concat(chunk));
                Stream(bytes.Length).Write(bytes);
                note = "";
            }

            _noted = dropped;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Interlocked.Add(ref _dropped, lines.Length);
            Dispose(); // the next lines find out anew
            throw;
        }
    }

    /// <summary>Only the thread that writes may call it, or whoever has no thread.</summary>
    public void Dispose()
    {
        try
        {
            _stream?.Dispose();
        }
        catch (IOException)
        {
            // Nothing is buffered: nothing more is lost.
        }

        _stream = null;
    }

    /// <summary>The file, with room for so much.</summary>
    private FileStream Stream(int bytes)
    {
        if (_stream is { } full && full.Length + bytes > limits.Bytes && full.Length > 0)
        {
            Dispose();
            Rotate();
        }

        if (_stream is null)
        {
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
            var options = PrivateFile.Options(FileMode.Append);
            (options.Access, options.Share, options.BufferSize) = (FileAccess.Write, FileShare.ReadWrite | FileShare.Delete, 0);
            _stream = new FileStream(path, options);
        }

        return _stream;
    }

    /// <summary><c>m-0.log</c> becomes <c>m-0.1.log</c>, that <c>m-0.2.log</c>, and so on; the last one goes.</summary>
    private void Rotate()
    {
        string Numbered(int number) => number == 0 ? path : System.IO.Path.ChangeExtension(path, string.Create(CultureInfo.InvariantCulture, $".{number}.log"));
        File.Delete(Numbered(limits.Count - 1));
        for (var number = limits.Count - 2; number >= 0; number--)
        {
            if (File.Exists(Numbered(number)))
            {
                File.Move(Numbered(number), Numbered(number + 1), overwrite: true);
            }
        }
    }
}
