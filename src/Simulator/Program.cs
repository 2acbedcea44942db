using LlmGateway.Simulator.CommandLine;
using LlmGateway.Simulator.Engine;
using LlmGateway.Simulator.Hosting;

var command = CommandLineReader.Read(args, Environment.GetEnvironmentVariable);
if (command.Settings is null)
{
    (command.ToStandardOutput ? Console.Out : Console.Error).Write(command.Text);
    return command.ExitCode;
}

using var errors = Console.OpenStandardError();
using var host = new SimulatorHost(command.Settings, command.Faults, errors, new PreciseTime());
return await host.RunAsync();
