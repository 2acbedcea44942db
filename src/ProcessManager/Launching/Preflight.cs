using System.Collections.Immutable;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>Why a launch would fail, with the path and the cure.</summary>
internal sealed record PreflightProblem(ExitCause Cause, string Message);

/// <summary>Looks before the leap: a wrapper hides "no such file" behind exit code 127, and a missing model costs a start.</summary>
internal static class Preflight
{
    /// <summary>The program's full path, or the problem.</summary>
    public static (string? Path, PreflightProblem? Problem) FindProgram(string executable, string? searchPath)
    {
        string path;
        if (executable.Contains(Path.DirectorySeparatorChar, StringComparison.Ordinal) || Path.IsPathRooted(executable))
        {
            path = Path.GetFullPath(executable);
            if (!File.Exists(path) && !Directory.Exists(path))
            {
                return Permanent($"There is no program at {path}. Correct the model's Executable.");
            }
        }
        else
        {
            var found = (searchPath ?? string.Empty).Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
                .SelectMany(folder => Names(executable).Select(name => Path.Combine(folder, name)))
                .Where(File.Exists)
                .ToArray();
            if (found.FirstOrDefault(IsExecutable) is not { } first)
            {
                return found is [var shown, ..]
                    ? Permanent($"{shown} may not be executed. Make it so (chmod +x), or give another Executable.")
                    : Permanent($"There is no program {executable} in PATH. Install it, or give its full path as the model's Executable.");
            }

            path = Path.GetFullPath(first);
        }

        if (Directory.Exists(path))
        {
            return Permanent($"{path} is a folder, not a program. Give the program in it as the model's Executable.");
        }

        if (!IsExecutable(path))
        {
            return Permanent($"{path} may not be executed. Make it so (chmod +x), or give another Executable.");
        }

        return OperatingSystem.IsLinux() && !IsLinuxProgram(path)
            ? Permanent($"{path} is neither a Linux program nor a script (#!). Was it built for another system, or downloaded incompletely?")
            : (path, null);
    }

    /// <summary>What keeps the replica on its cores: put before its program. Nothing when that is not asked for.</summary>
    public static (ImmutableArray<string> Before, PreflightProblem? Problem) Pin(ReplicaSetOptions options, int index, ImmutableArray<int> cores, string? searchPath)
    {
        if (!options.CpuAffinity)
        {
            return ([], null);
        }

        if (FindProgram(CoreShare.Program, searchPath).Path is not { } program || cores.IsEmpty)
        {
            return ([], new(ExitCause.PermanentConfig, $"CpuAffinity needs Linux and the program {CoreShare.Program} (package util-linux) in PATH. Install it, or leave CpuAffinity out."));
        }

        return ([program, "-c", CoreShare.Of(cores, options.ReplicasBefore + index, Math.Max(1, options.LocalReplicas))], null);
    }

    /// <summary>Checks the model file that the arguments name, if they name one. Relative paths are the child's.</summary>
    public static PreflightProblem? CheckModel(ReplicaSetOptions options, ImmutableArray<string> arguments)
    {
        if (options.Kind is not ReplicaKind.LlamaServer || CommandLine.ModelFile(arguments, options.Environment) is not { } file)
        {
            return null;
        }

        var path = Path.GetFullPath(file, Path.GetFullPath(options.WorkingDirectory ?? "."));
        try
        {
            if (Directory.Exists(path))
            {
                return Invalid($"{path} is a folder, not a model. Give the .gguf file in it.");
            }

            using var model = File.OpenRead(path);
            Span<byte> magic = stackalloc byte[4];
            var read = model.ReadAtLeast(magic, 4, throwOnEndOfStream: false);
            return magic[..read].SequenceEqual("GGUF"u8)
                ? null
                : Invalid($"{path} is not a GGUF model. Download it again; if it is a Git LFS pointer, fetch the real file.");
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return Invalid($"There is no model at {path}. Put it there, or correct the model's Args.");
        }
        catch (UnauthorizedAccessException)
        {
            return Invalid($"The model {path} may not be read by user {Environment.UserName}. Change its owner or mode.");
        }
        catch (IOException e)
        {
            return Invalid($"The model {path} can't be read: {e.Message}");
        }
    }

    /// <summary>Checks the folder that the child would run in.</summary>
    public static PreflightProblem? CheckWorkingDirectory(string? folder) =>
        folder is null || Directory.Exists(folder)
            ? null
            : new(ExitCause.PermanentConfig, $"There is no folder {Path.GetFullPath(folder)}. Make it, or correct the model's WorkingDirectory.");

    private static string[] Names(string executable) =>
        OperatingSystem.IsWindows() && !Path.HasExtension(executable) ? [executable + ".exe"] : [executable];

    private static bool IsExecutable(string path)
    {
        const UnixFileMode anyone = UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
        try
        {
            return OperatingSystem.IsWindows() || (File.GetUnixFileMode(path) & anyone) != 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static bool IsLinuxProgram(string path)
    {
        try
        {
            using var file = File.OpenRead(path);
            Span<byte> magic = stackalloc byte[4];
            var read = file.ReadAtLeast(magic, 4, throwOnEndOfStream: false);
            return magic[..read].StartsWith("#!"u8) || magic[..read].SequenceEqual("\u007fELF"u8);
        }
        catch (UnauthorizedAccessException)
        {
            return true; // executable but not readable is allowed
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static (string?, PreflightProblem?) Permanent(string message) => (null, new(ExitCause.PermanentConfig, message));

    private static PreflightProblem Invalid(string message) => new(ExitCause.ModelInvalid, message);
}
