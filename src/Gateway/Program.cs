using LlmGateway.Gateway;

CoreDumps.Forbid();
SocketThreads.TakeOver();
try
{
    return await CommandLine.RunAsync(args);
}
catch (Exception e)
{
    await Console.Error.WriteLineAsync($"The gateway failed: {e}");
    return ExitCodes.Software;
}
