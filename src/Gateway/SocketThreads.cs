using System.Globalization;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace LlmGateway.Gateway;

/// <summary>Where the work of the data plane runs: on the threads that wait for its sockets, without a hop to the thread pool for each chunk.</summary>
/// <remarks>
/// The price: what blocks there stalls every connection of that thread. So nothing on the way of a request waits but for locks held for microseconds;
/// what may take long (a large body, a continuation, a certificate) goes to the pool first. <c>SocketThreadTests</c> watches that.
/// The runtime's own variables, set before the start, win over what is chosen here; the first one turns it off when it is 0.
/// </remarks>
internal static class SocketThreads
{
    // What the runtime looks at when the first socket is made.
    private const string Inline = "DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS";
    private const string Count = "DOTNET_SYSTEM_NET_SOCKETS_THREAD_COUNT";

    /// <summary>Must be called before the first socket is made.</summary>
    public static void TakeOver()
    {
        if (OperatingSystem.IsWindows() || Environment.GetEnvironmentVariable(Inline) is not null)
        {
            return;
        }

        Environment.SetEnvironmentVariable(Inline, "1");
        if (Environment.GetEnvironmentVariable(Count) is null)
        {
            Environment.SetEnvironmentVariable(Count, CountFor(Environment.ProcessorCount).ToString(CultureInfo.InvariantCulture));
        }
    }

    /// <summary>Half of the cores: with the runtime's own number, all of them, a request and an event of a stream cost a tenth more (<c>docs/performance.md</c>).</summary>
    /// <param name="cores">Cores of this process.</param>
    internal static int CountFor(int cores) => Math.Max(1, cores / 2);

    /// <summary>Sees to it that a server works where its bytes arrive. Alone, without the runtime's half, it would bring nothing.</summary>
    public static void Apply(SocketTransportOptions options) => options.UnsafePreferInlineScheduling = Environment.GetEnvironmentVariable(Inline) == "1";
}
