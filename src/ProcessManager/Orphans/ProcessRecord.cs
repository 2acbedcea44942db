using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;

namespace LlmGateway.ProcessManager.Orphans;

/// <summary>One process that was launched, as the next gateway will find it.</summary>
/// <param name="Backend">The replica's name.</param>
/// <param name="Generation">Which start of it.</param>
/// <param name="Pid">Its process id, which names nobody by itself: it is given out again.</param>
/// <param name="StartedAt">When the system started it, in the unit of <see cref="ISystemProcesses"/>.</param>
/// <param name="ArgumentBytes">How long its arguments are as the system keeps them.</param>
/// <param name="ArgumentHash">SHA-256 of them.</param>
/// <param name="Address">Where it listens.</param>
internal sealed record ProcessRecord(string Backend, int Generation, int Pid, long StartedAt, int ArgumentBytes, string ArgumentHash, string Address)
{
    /// <summary>The arguments as Linux keeps them: each with a zero behind it.</summary>
    public static byte[] Block(IEnumerable<string> arguments) => Encoding.UTF8.GetBytes(string.Concat(arguments.Select(argument => argument + '\0')));

    public static string Hash(ReadOnlySpan<byte> block) => Convert.ToHexStringLower(SHA256.HashData(block));

    /// <summary>True when a command line ends in the recorded arguments: the programs of the launch chain and a script's interpreter come before them.</summary>
    public bool IsCommandLine(ReadOnlySpan<byte> commandLine) =>
        ArgumentBytes > 0 && commandLine.Length >= ArgumentBytes && Hash(commandLine[^ArgumentBytes..]) == ArgumentHash;
}

/// <summary>The whole state file.</summary>
/// <param name="Version">Of the format.</param>
/// <param name="BootId">Which run of the machine the records are about.</param>
/// <param name="Processes">What may still live.</param>
internal sealed record ProcessRecords(int Version, string BootId, ImmutableArray<ProcessRecord> Processes)
{
    public const int Current = 1;
}

/// <summary>Written for people as well.</summary>
[JsonSourceGenerationOptions(WriteIndented = true, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(ProcessRecords))]
internal sealed partial class RecordJson : JsonSerializerContext;
