namespace LlmGateway.Gateway.Scaling;

/// <summary>Notices that the configuration file has changed: written in place, renamed over, or swapped by a link on the way to it.</summary>
/// <remarks>The system's news only says when to look; whether anything has changed, the content says. A slow look of our own finds what no news comes of.</remarks>
internal sealed class ConfigurationWatch : IDisposable
{
    /// <summary>How long the folder must be quiet: an editor writes in several steps.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(250);

    private static readonly TimeSpan Period = TimeSpan.FromSeconds(10);

    private readonly Reloader _reloader;
    private readonly ILogger _logger;
    private readonly ITimer _look;
    private readonly FileSystemWatcher? _folder;
    private readonly Lock _looking = new();

    public ConfigurationWatch(Reloader reloader, TimeProvider time, ILogger<ConfigurationWatch> logger)
    {
        (_reloader, _logger) = (reloader, logger);
        _look = time.CreateTimer(_ => Look(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        if (reloader.Path is { } path)
        {
            _look.Change(Period, Period);
            _folder = Watch(path);
        }
    }

    public void Dispose()
    {
        _folder?.Dispose();
        _look.Dispose();
    }

    private FileSystemWatcher? Watch(string path)
    {
        try
        {
            // The whole folder: in one that is mounted as a set of links, the file itself is never written.
            var watcher = new FileSystemWatcher(Path.GetDirectoryName(path)!)
            {
                NotifyFilter = NotifyFilters.FileName | NotifyFilters.DirectoryName | NotifyFilters.LastWrite | NotifyFilters.Size,
            };
            watcher.Changed += OnNews;
            watcher.Created += OnNews;
            watcher.Renamed += OnNews;
            watcher.EnableRaisingEvents = true;
            return watcher;
        }
        catch (Exception e) when (e is IOException or ArgumentException or UnauthorizedAccessException or PlatformNotSupportedException)
        {
            Log.WatchFailed(_logger, path, e.Message, Period);
            return null;
        }
    }

    private void OnNews(object sender, FileSystemEventArgs news) => _look.Change(Quiet, Period);

    private void Look()
    {
        lock (_looking)
        {
            _reloader.ReloadIfChanged();
        }
    }
}
