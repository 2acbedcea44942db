using LlmGateway.LoadTests;

// Before the first socket: reads then complete on the thread that waits for them, and nothing here ever blocks it.
Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");
return await new CommandLine().RunAsync(args);
