namespace LlmGateway.ProcessManager.Orphans;

/// <summary>Files that only their owner can read.</summary>
internal static class PrivateFile
{
    public static FileStreamOptions Options(FileMode mode)
    {
        var options = new FileStreamOptions { Mode = mode, Access = FileAccess.ReadWrite, Share = FileShare.None };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        return options;
    }

    /// <summary>Replaces a file: whoever reads it, and whatever happens meanwhile, finds the old content or the new one, whole.</summary>
    public static void Replace(string path, ReadOnlySpan<byte> content)
    {
        var unfinished = path + ".unfinished";
        using (var file = new FileStream(unfinished, Options(FileMode.Create)))
        {
            file.Write(content);
            file.Flush(flushToDisk: true);
        }

        File.Move(unfinished, path, overwrite: true);
    }
}
