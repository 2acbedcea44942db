using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.CommandLine;

/// <summary>Either settings to run with, or a text to print and an exit code.</summary>
internal sealed record CommandLineResult(ServerSettings? Settings, Faults Faults, int ExitCode, string Text, bool ToStandardOutput)
{
    public static CommandLineResult Accepted(ServerSettings settings, Faults faults) => new(settings, faults, 0, "", false);

    public static CommandLineResult Refused(string text) => new(null, new Faults(), 1, text, false);

    public static CommandLineResult Printed(string text, bool toStandardOutput) => new(null, new Faults(), 0, text, toStandardOutput);
}
