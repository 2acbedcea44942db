using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace LlmGateway.Gateway;

/// <summary>Where the work of the data plane runs: on the threads that wait for its sockets, without a hop to the thread pool for each chunk.</summary>
/// <remarks>
/// The price: what blocks there stalls every connection of that thread. So nothing on the way of a request waits but for locks held for microseconds;
/// what may take long (a large body, a continuation, a certificate) goes to the pool first. <c>SocketThreadTests</c> watches that.
/// The runtime's own variable turns it off when it is set to 0 before the start.
/// </remarks>
internal static class SocketThreads
{
    /// <summary>What the runtime looks at when the first socket is made.</summary>
    private const string Variable = "DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS";

    /// <summary>Must be called before the first socket is made.</summary>
    public static void TakeOver()
    {
        if (!OperatingSystem.IsWindows() && Environment.GetEnvironmentVariable(Variable) is null)
        {
            Environment.SetEnvironmentVariable(Variable, "1");
        }
    }

    /// <summary>Sees to it that a server works where its bytes arrive. Alone, without the runtime's half, it would bring nothing.</summary>
    public static void Apply(SocketTransportOptions options) => options.UnsafePreferInlineScheduling = Environment.GetEnvironmentVariable(Variable) == "1";
}
