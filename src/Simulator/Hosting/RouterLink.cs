using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.Hosting;

/// <summary>What llama-server does under <c>LLAMA_SERVER_ROUTER_PORT</c>: tells its state on standard output, and ends when standard input does.</summary>
internal static class RouterLink
{
    private const string ExitCommand = "cmd_router_to_child:exit";

    public static void Start(FaultSwitch faults)
    {
        Tell("loading");
        new Thread(() =>
        {
            while (Console.In.ReadLine() is { } line)
            {
                if (line == ExitCommand)
                {
                    ProcessExit.Now(0);
                }
            }

            if (!faults.Current.IgnoreSigterm)
            {
                ProcessExit.Now(1);
            }
        })
        { IsBackground = true }.Start();
    }

    public static void Tell(string state)
    {
        Console.Out.Write($"cmd_child_to_router:state:{{\"state\":\"{state}\",\"payload\":{{}}}}\n");
        Console.Out.Flush();
    }
}
