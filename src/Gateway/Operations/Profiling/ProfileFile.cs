using Microsoft.Diagnostics.NETCore.Client;
using Microsoft.Diagnostics.Symbols;
using Microsoft.Diagnostics.Tracing;
using Microsoft.Diagnostics.Tracing.Etlx;
using Microsoft.Diagnostics.Tracing.Stacks;

namespace LlmGateway.Gateway.Operations.Profiling;

/// <summary>A recording in a folder of its own, which goes with it.</summary>
internal sealed class ProfileFile : IDisposable
{
    /// <summary>Largest recording.</summary>
    public const long MostBytes = 256L * 1024 * 1024;

    private readonly string _folder = Directory.CreateTempSubdirectory("llm-gateway-profile-").FullName;
    private TraceLog? _log;

    private ProfileFile()
    {
    }

    private string RawPath => Path.Combine(_folder, "profile.nettrace");

    /// <summary>Records, and reads the recording with its stacks.</summary>
    public static async Task<ProfileFile> RecordAsync(EventPipeProvider[] providers, TimeSpan duration, TimeProvider time, CancellationToken cancellationToken)
    {
        var file = new ProfileFile();
        try
        {
            await ProfileSession.RunAsync(providers, duration, withNames: true, time, file.WriteAsync, cancellationToken);

            // Reading a recording keeps a core busy for some seconds: not on a thread that requests need.
            await Task.Factory.StartNew(file.Read, cancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public TraceLog Log => _log ?? throw new InvalidOperationException("It has not been read.");

    /// <summary>The samples as stacks, by thread and time.</summary>
    public MutableTraceEventStackSource Stacks()
    {
        // No symbol server: managed frames have their names in the recording, and nothing is sent anywhere.
        using var symbols = new SymbolReader(TextWriter.Null, nt_symbol_path: "");
        var stacks = new MutableTraceEventStackSource(Log) { OnlyManagedCodeStacks = true };
        new SampleProfilerThreadTimeComputer(Log, symbols) { IncludeEventSourceEvents = false }.GenerateThreadTimeStacks(stacks);
        return stacks;
    }

    /// <summary>A path in the recording's folder.</summary>
    public string PathOf(string name) => Path.Combine(_folder, name);

    public void Dispose()
    {
        _log?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task WriteAsync(Stream events, CancellationToken cancellationToken)
    {
        await using var file = new FileStream(RawPath, FileMode.CreateNew, FileAccess.Write);
        await BoundedCopy.RunAsync(events, file, MostBytes, cancellationToken);
    }

    private void Read() => _log = new TraceLog(TraceLog.CreateFromEventPipeDataFile(RawPath, PathOf("profile.etlx"), new TraceLogOptions { ContinueOnError = true }));
}
