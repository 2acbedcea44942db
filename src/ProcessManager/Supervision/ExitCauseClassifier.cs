using System.Collections.Immutable;
using LlmGateway.ProcessManager.Replicas;

namespace LlmGateway.ProcessManager.Supervision;

/// <summary>Our reading of an end.</summary>
internal readonly record struct ExitReading(int? Code, int? Signal, ExitCause Cause, string Advice);

/// <summary>Reads exit code, output and who asked as a cause, with one line of advice. Pure.</summary>
/// <remarks>
/// <code>
/// asked by us                                → requested, or what we killed it for
/// code 0                                     → unexpected_exit
/// output: GPU memory / host memory           → vram / oom          (before "failed to load model", which follows both)
/// output: bind error                         → port_conflict
/// output: arguments, or exit 126, 127        → permanent_config
/// output: model file                         → model_invalid
/// SIGILL                                     → wrong_build
/// SIGKILL and the kernel counted an OOM kill → oom
/// SIGKILL, TERM, INT, HUP, QUIT              → external_kill
/// all else                                   → crash
/// </code>
/// .NET reports signal n as exit code 128 + n, as shells do; a program that exits with such a code by itself reads the same.
/// </remarks>
internal static class ExitCauseClassifier
{
    private const int SigHup = 1;
    private const int SigInt = 2;
    private const int SigQuit = 3;
    private const int SigIll = 4;
    private const int SigBus = 7; // Linux's number
    private const int SigKill = 9;
    private const int SigTerm = 15;

    private static readonly string[] VramTexts =
    [
        "CUDA error: out of memory", "cudaMalloc failed: out of memory", "hipMalloc failed: out of memory", "ErrorOutOfDeviceMemory",
        "unable to allocate CUDA", "unable to allocate ROCm", "unable to allocate Vulkan", "unable to allocate SYCL", "unable to allocate Metal",
        "failed to allocate CUDA", "failed to allocate ROCm", "failed to allocate Vulkan", "failed to allocate SYCL", "failed to allocate Metal",
    ];

    private static readonly string[] MemoryTexts = ["std::bad_alloc", "Cannot allocate memory", "insufficient memory (attempted to allocate", "unable to allocate CPU", "failed to allocate CPU"];

    private static readonly string[] ServerBindTexts = ["couldn't bind HTTP server socket", "exiting due to HTTP server error"];

    private static readonly string[] BindTexts = ["address already in use"];

    private static readonly string[] ArgumentTexts =
        ["error: invalid argument:", "error while handling argument", "error while handling environment variable", "no backends are loaded"];

    private static readonly string[] ModelTexts =
    [
        "failed to open GGUF file", "invalid magic characters", "model is corrupted or incomplete", "exiting due to model loading error",
        "failed to load model",
    ];

    public static ExitReading Read(ReplicaKind kind, ExitEvidence evidence, bool signalled, ExitCause? killedFor, string? killedBecause)
    {
        var (code, signal) = evidence.Code is > 128 and <= 128 + 64 ? ((int?)null, (int?)(evidence.Code - 128)) : (evidence.Code, null);
        if (signalled)
        {
            return killedFor is { } cause
                ? new(code, signal, cause, killedBecause ?? AdviceFor(cause, code, signal, null))
                : new(code, signal, ExitCause.Requested, AdviceFor(ExitCause.Requested, code, signal, null));
        }

        var (read, line) = CauseOf(kind, code, signal, evidence);
        return new(code, signal, read, AdviceFor(read, code, signal, line));
    }

    /// <summary>One line for a person: what happened and what to do.</summary>
    public static string AdviceFor(ExitCause cause, int? code, int? signal, string? line)
    {
        var said = line is null ? string.Empty : $" It said: \"{line}\".";
        return cause switch
        {
            ExitCause.Requested => "Ended as asked.",
            ExitCause.Crash when signal is SigBus && OperatingSystem.IsLinux() => "Ended by signal 7 (SIGBUS): a file that it had mapped was cut short or could not be read. Was the model file replaced while it was in use? Put a new one beside it and rename it over the old one.",
            ExitCause.Crash when signal is not null => $"Ended by signal {signal}. If it comes back, update llama-server or report the crash there with the captured output.",
            ExitCause.Crash => $"Ended with exit code {code}. Read the captured output.",
            ExitCause.Oom => "Memory did not suffice. Use fewer replicas, a smaller context (-c), --cache-ram or model, or give the machine more memory." + said,
            ExitCause.Vram => "The GPU's memory did not suffice. Offload fewer layers (-ngl), use a smaller context (-c) or fewer replicas." + said,
            ExitCause.ExternalKill => $"Something outside the gateway sent signal {signal}. Look for a person, a script, or a memory limit of the container.",
            ExitCause.UnexpectedExit => "Ended with exit code 0 though nobody here asked. Look for somebody who sent it SIGTERM, or for a program that does not stay in the foreground.",
            ExitCause.PortConflict => "Its address was taken. Another one is tried; if it persists, give the model another port range." + said,
            ExitCause.ModelInvalid => "The model file can't be loaded. Check the path, download it again, or update llama-server." + said,
            ExitCause.WrongBuild => "The binary uses instructions that this CPU lacks (SIGILL). Install a build for this machine.",
            ExitCause.PermanentConfig => "The command can't work as configured. Correct the model's Executable or Args." + said,
            ExitCause.StartTimeout => "It did not come up and made no progress. Read the captured output; raise Probes:Startup:StallTimeout if it only needs longer.",
            ExitCause.Hung => "It had work but made no progress.",
            _ => throw new ArgumentOutOfRangeException(nameof(cause), cause, null),
        };
    }

    private static (ExitCause Cause, string? Line) CauseOf(ReplicaKind kind, int? code, int? signal, ExitEvidence evidence)
    {
        if (code is 0)
        {
            return (ExitCause.UnexpectedExit, null);
        }

        if (signal is SigKill && evidence.KernelKilledForMemory)
        {
            return (ExitCause.Oom, null);
        }

        if (signal is SigKill or SigTerm or SigInt or SigHup or SigQuit)
        {
            return (ExitCause.ExternalKill, null);
        }

        if (signal is SigIll)
        {
            return (ExitCause.WrongBuild, null);
        }

        // Other programs may print anything: only llama-server's own words are read as causes, and the one text that every libc has.
        var speaksLlama = kind is not ReplicaKind.Command;
        if (speaksLlama)
        {
            if (Find(evidence.Tail, VramTexts) is { } vram)
            {
                return (ExitCause.Vram, vram);
            }

            if (Find(evidence.Tail, MemoryTexts) is { } memory)
            {
                return (ExitCause.Oom, memory);
            }
        }

        if (signal is not null)
        {
            return (ExitCause.Crash, null);
        }

        if (Find(evidence.Tail, BindTexts) is { } bind)
        {
            return (ExitCause.PortConflict, bind);
        }

        if (speaksLlama)
        {
            if (Find(evidence.Tail, ServerBindTexts) is { } taken)
            {
                return (ExitCause.PortConflict, taken);
            }

            if (Find(evidence.Tail, ArgumentTexts) is { } argument)
            {
                return (ExitCause.PermanentConfig, argument);
            }

            if (Find(evidence.Tail, ModelTexts) is { } model)
            {
                return (ExitCause.ModelInvalid, model);
            }
        }

        // What a shell and the launch chain say when a program can't be run.
        return code is 126 or 127 ? (ExitCause.PermanentConfig, evidence.Tail.LastOrDefault()) : (ExitCause.Crash, null);
    }

    /// <summary>The first line that holds one of the texts: later ones only repeat that it failed.</summary>
    private static string? Find(ImmutableArray<string> tail, string[] texts) =>
        tail.FirstOrDefault(line => texts.Any(text => line.Contains(text, StringComparison.OrdinalIgnoreCase))) is { } found
            ? found.Length <= 300 ? found.Trim() : found[..300].Trim()
            : null;
}
