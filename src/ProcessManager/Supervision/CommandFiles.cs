using System.Collections.Immutable;
using System.Globalization;
using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>The files that a command is started from: its program, and every argument that looks like a path.</summary>
internal static class CommandFiles
{
    /// <summary>What they look like now: one string per file, equal as long as nothing has changed. Never throws.</summary>
    public static ImmutableArray<string> Stamp(ReplicaSetOptions options, int index)
    {
        var place = new LaunchPlace(string.Empty, null, index);
        var folder = Path.GetFullPath(options.WorkingDirectory ?? ".");
        var program = Preflight.FindProgram(options.Executable, Environment.GetEnvironmentVariable("PATH")).Path ?? options.Executable;
        return
        [
            Stamp(program),
            Stamp(folder),
            .. options.Args.Select(argument => CommandLine.Replace(argument, options, place))
                .Select(argument => argument[(argument.IndexOf('=', StringComparison.Ordinal) + 1)..])
                .Where(LooksLikeAPath)
                .Select(argument => Stamp(Path.GetFullPath(argument, folder))),
        ];
    }

    private static bool LooksLikeAPath(string argument) =>
        argument.Length is > 0 and < 4096
        && !argument.Contains('\0', StringComparison.Ordinal)
        && !argument.Contains("://", StringComparison.Ordinal)
        && (argument.Contains(Path.DirectorySeparatorChar, StringComparison.Ordinal) || argument.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase));

    private static string Stamp(string path)
    {
        try
        {
            var file = new FileInfo(path);
            var target = file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? file;
            var mode = OperatingSystem.IsWindows() ? default : target.UnixFileMode;
            return target.Exists
                ? string.Create(CultureInfo.InvariantCulture, $"{path}: {target.Length} bytes, {target.LastWriteTimeUtc.Ticks}, {mode}")
                : $"{path}: {Directory.Exists(path)}";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            return $"{path}: {e.GetType().Name}";
        }
    }
}
