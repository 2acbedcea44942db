using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>Writes what replicas print into rotated files, one for each replica, on a thread of its own.</summary>
/// <remarks>
/// Whoever prints never waits: each file has a bounded queue, and when the disk is slower than the child, the oldest lines are dropped and
/// counted in the file. A disk that is full, or gone, costs those lines and one warning a minute; the ring in memory has them all the same.
/// </remarks>
internal sealed class OutputFiles : IDisposable
{
    /// <summary>Lines that may wait for the disk, for each replica.</summary>
    public const int MostWaiting = 4096;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, OutputFile> _files = new(StringComparer.Ordinal);
    private readonly AutoResetEvent _work = new(false);
    private readonly OutputFileLimits _limits;
    private readonly string _folder;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Thread _thread;
    private long? _warnedAt;
    private volatile bool _over;

    public OutputFiles(string folder, OutputFileLimits limits, TimeProvider time, ILogger<OutputFiles> logger)
    {
        (_folder, _limits, _time, _logger) = (folder, limits, time, logger);
        _thread = new Thread(Run, maxStackSize: 256 * 1024) { IsBackground = true, Name = "output files" };
        _thread.Start();
    }

    /// <summary>The file of one replica; dispose it when the replica is gone. Several holders share one.</summary>
    public OutputFile Open(string model, int index)
    {
        var path = Path.Combine(_folder, $"{SafeName(model)}-{index.ToString(CultureInfo.InvariantCulture)}.log");
        lock (_gate)
        {
            if (!_files.TryGetValue(path, out var file))
            {
                _files[path] = file = new(path, _limits, _work);
            }

            file.Holders++;
            return file;
        }
    }

    /// <summary>Gives a file back; what waits in it is still written.</summary>
    public void Close(OutputFile file)
    {
        lock (_gate)
        {
            file.Holders--;
        }

        _work.Set();
    }

    /// <summary>Writes what waits, and ends.</summary>
    public void Dispose()
    {
        _over = true;
        _work.Set();
        if (_thread.Join(TimeSpan.FromSeconds(2))) // a disk that hangs must not keep the gateway from ending
        {
            _work.Dispose();
        }
    }

    /// <summary>
    /// The model's name as a file's: what is special to some file system, or leads out of the folder, is written as <c>%</c> and two digits; a
    /// long name is cut and ends in eight digits of its hash.
    /// </summary>
    internal static string SafeName(string model)
    {
        const int Longest = 120;
        var safe = new StringBuilder();
        foreach (var b in Encoding.UTF8.GetBytes(model))
        {
            var c = (char)b;
            _ = char.IsAsciiLetterOrDigit(c) || c is '_' or '-' || (c is '.' && safe.Length > 0)
                ? safe.Append(c)
                : safe.Append(CultureInfo.InvariantCulture, $"%{b:X2}");
        }

        return safe.Length <= Longest
            ? safe.ToString()
            : $"{safe.ToString(0, Longest - 9)}-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(model)))[..8]}";
    }

    private void Run()
    {
        while (true)
        {
            _work.WaitOne();
            var last = _over;
            OutputFile[] files;
            lock (_gate)
            {
                files = [.. _files.Values];
            }

            Array.ForEach(files, Write);
            lock (_gate)
            {
                foreach (var (path, file) in _files.Where(one => one.Value.Holders == 0).ToArray())
                {
                    _files.Remove(path);
                    file.Dispose();
                }
            }

            if (last)
            {
                Array.ForEach(files, file => file.Dispose());
                return;
            }
        }
    }

    private void Write(OutputFile file)
    {
        try
        {
            file.WriteWaiting();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            if (_warnedAt is not { } at || _time.GetElapsedTime(at) >= TimeSpan.FromMinutes(1))
            {
                _warnedAt = _time.GetTimestamp();
                Log.OutputNotWritten(_logger, file.Path, e.Message);
            }
        }
    }
}
