using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text.Json;
using LlmGateway.ProcessManager.Launching;
using Microsoft.Extensions.Logging;

namespace LlmGateway.ProcessManager.Orphans;

/// <summary>Launches, and writes down what it launched, so that no process outlives two gateways.</summary>
/// <remarks>
/// On Linux children die with the gateway; what slips through is ended by the next gateway in the same state directory, before it launches
/// anything of its own. A survivor is known by either of two proofs:
/// <list type="bullet">
/// <item>the state file: number, start time, run of the machine and arguments are those that were written down. A number alone proves
/// nothing, and nobody is signalled for it.</item>
/// <item>a mark in its environment, random for each state directory, which every child gets before its first instruction and hands on. It
/// finds a child whose gateway was killed between launching it and writing it down, or before it could ask for its parent-death signal, and
/// what a child has started in a session of its own.</item>
/// </list>
/// A state file that can't be written stops new launches, since they could not be found again, and nothing else. One that can't be read
/// is left aside: the mark still finds what lives.
/// </remarks>
internal sealed class OrphanWatch : ILauncher, IDisposable
{
    /// <summary>The name of the mark. Of our own prefix, so that what a gateway inherits itself is never handed on.</summary>
    public const string Mark = "LLMGATEWAY_PROCESS_MARK";

    private const string RecordsName = "processes.json";
    private const string MarkName = "process.mark";
    private const long MostBytes = 16 << 20;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly ILauncher _launcher;
    private readonly ISystemProcesses _system;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly string _file;
    private readonly string _mark;
    private readonly Lazy<Task> _reaped;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private ImmutableDictionary<(string Backend, int Generation), ProcessRecord> _records = ImmutableDictionary<(string, int), ProcessRecord>.Empty;

    /// <exception cref="IOException">The folder can't be written to.</exception>
    public OrphanWatch(string stateDirectory, ILauncher launcher, ISystemProcesses system, TimeProvider time, ILogger<OrphanWatch> logger)
    {
        (_launcher, _system, _time, _logger) = (launcher, system, time, logger);
        _file = Path.Combine(stateDirectory, RecordsName);
        _mark = ReadOrMakeMark(Path.Combine(stateDirectory, MarkName));
        _reaped = new(ReapAsync, LazyThreadSafetyMode.ExecutionAndPublication);
    }

    /// <summary>Ends what an earlier gateway left behind, once; completes when it is gone.</summary>
    public Task ReapedAsync() => _reaped.Value;

    public async Task<IChildProcess> LaunchAsync(LaunchRequest request, CancellationToken cancellationToken)
    {
        await ReapedAsync().WaitAsync(cancellationToken);

        // Before: a launch that could not be written down is not begun.
        await SaveAsync(records => records, cancellationToken);
        var child = await _launcher.LaunchAsync(
            request with { Environment = new Dictionary<string, string>(request.Environment, StringComparer.Ordinal) { [Mark] = _mark } }, cancellationToken);
        try
        {
            var block = ProcessRecord.Block(request.Arguments.Prepend(request.Program));
            if (_system.StartedAt(child.Pid) is { } startedAt)
            {
                var record = new ProcessRecord(
                    request.Name, request.Generation, child.Pid, startedAt, block.Length, ProcessRecord.Hash(block), request.Address ?? string.Empty);
                await SaveAsync(records => records.SetItem((record.Backend, record.Generation), record), CancellationToken.None);
                _ = child.Ended.ContinueWith(
                    _ => ImmutableInterlocked.TryRemove(ref _records, (record.Backend, record.Generation), out ProcessRecord? _),
                    CancellationToken.None,
                    TaskContinuationOptions.ExecuteSynchronously,
                    TaskScheduler.Default);
            }

            return child;
        }
        catch
        {
            child.Kill();
            _ = EndAsync(child);
            throw;
        }
    }

    public void Dispose()
    {
        (_launcher as IDisposable)?.Dispose();
        _gate.Dispose();
    }

    private static async Task EndAsync(IChildProcess child)
    {
        using (child)
        {
            await child.Ended;
            await child.CleanUpAsync(CancellationToken.None);
        }
    }

    private static string ReadOrMakeMark(string file)
    {
        if (File.Exists(file) && File.ReadAllText(file).Trim() is { Length: 64 } mark && mark.All(char.IsAsciiHexDigitLower))
        {
            return mark;
        }

        var made = RandomNumberGenerator.GetHexString(64, lowercase: true);
        PrivateFile.Replace(file, System.Text.Encoding.ASCII.GetBytes(made));
        return made;
    }

    private async Task ReapAsync()
    {
        var survivors = Survivors();
        foreach (var (pid, startedAt, what) in survivors)
        {
            Log.OrphanKilled(_logger, pid, what);
            _system.Kill(pid, startedAt);
        }

        var deadline = _time.GetTimestamp();
        while (survivors.Exists(one => _system.StartedAt(one.Pid) == one.StartedAt))
        {
            if (_time.GetElapsedTime(deadline) > Patience)
            {
                Log.OrphanStays(_logger, string.Join(", ", survivors.Where(one => _system.StartedAt(one.Pid) == one.StartedAt).Select(one => one.Pid)));
                return;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System); // a real process ends in real time
        }
    }

    /// <summary>What of an earlier gateway still lives, and is proven to be that.</summary>
    private List<(int Pid, long StartedAt, string What)> Survivors()
    {
        var found = new Dictionary<int, (int, long, string)>();
        foreach (var pid in _system.WithEnvironment($"{Mark}={_mark}"))
        {
            if (pid != Environment.ProcessId && _system.StartedAt(pid) is { } startedAt)
            {
                found[pid] = (pid, startedAt, "which has its mark");
            }
        }

        foreach (var record in ReadRecords())
        {
            // The mark is proof enough; without it all of the record must be true.
            if (_system.StartedAt(record.Pid) == record.StartedAt && record.Pid > 1 && record.Pid != Environment.ProcessId
                && (found.ContainsKey(record.Pid) || _system.CommandLine(record.Pid) is not { } line || record.IsCommandLine(line)))
            {
                found[record.Pid] = (record.Pid, record.StartedAt, $"{record.Backend} at {record.Address}");
            }
        }

        return [.. found.Values];
    }

    private ImmutableArray<ProcessRecord> ReadRecords()
    {
        try
        {
            if (!File.Exists(_file))
            {
                return [];
            }

            using var file = File.OpenRead(_file);
            var records = file.Length <= MostBytes ? JsonSerializer.Deserialize(file, RecordJson.Default.ProcessRecords) : null;
            if (records is { Version: ProcessRecords.Current, Processes.IsDefault: false })
            {
                return records.BootId == _system.BootId // a boot ended them all
                    ? records.Processes.RemoveAll(static record => record is null) // a file may hold what its type rules out
                    : [];
            }
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException or NotSupportedException)
        {
            Log.RecordsUnreadable(_logger, _file, e.Message);
            return [];
        }

        Log.RecordsUnreadable(_logger, _file, "it is not of this version");
        return [];
    }

    /// <exception cref="StateFileException">It can't be written; the message says what that means.</exception>
    private async Task SaveAsync(
        Func<ImmutableDictionary<(string, int), ProcessRecord>, ImmutableDictionary<(string, int), ProcessRecord>> change, CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken);
        try
        {
            ImmutableInterlocked.Update(ref _records, change);
            var records = new ProcessRecords(ProcessRecords.Current, _system.BootId, [.. _records.Values.OrderBy(record => record.Pid)]);
            PrivateFile.Replace(_file, JsonSerializer.SerializeToUtf8Bytes(records, RecordJson.Default.ProcessRecords));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StateFileException(
                $"The state file {_file} can't be written ({e.Message}). Nothing new is started, since it could not be found again after a crash; what runs goes on.", e);
        }
        finally
        {
            _gate.Release();
        }
    }
}
