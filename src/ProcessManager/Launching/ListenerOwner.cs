using System.Collections.Immutable;
using System.Globalization;
using LlmGateway.Probes;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>Who listens where our child should.</summary>
internal enum ListenerProof
{
    /// <summary>Our child, or a process of its group, and nobody else.</summary>
    Ours,

    /// <summary>Another process: not one request may go there.</summary>
    Stranger,

    /// <summary>Nobody yet.</summary>
    Nobody,

    /// <summary>This system does not tell.</summary>
    Unknown,
}

/// <summary>Proves that an address is served by our own child.</summary>
/// <remarks>
/// An answer is not enough: whoever took the port first answers as well, and with SO_REUSEPORT two servers can share one port. So the
/// listening socket's inode must be among the descriptors of the child's process group. A Unix socket needs no proof: it lies in a
/// folder that only we may enter.
/// </remarks>
internal static class ListenerOwner
{
    private const string Listen = "0A";

    public static ListenerProof Of(BackendAddress address, int group)
    {
        if (address.UnixSocketPath is not null || !OperatingSystem.IsLinux())
        {
            return ListenerProof.Unknown;
        }

        var tables = ProcFs.Text("/proc/net/tcp") + ProcFs.Text("/proc/net/tcp6");
        if (tables.Length == 0)
        {
            return ListenerProof.Unknown;
        }

        var listeners = ListenersOn(tables, address.BaseUri.Port);
        if (listeners.IsEmpty)
        {
            return ListenerProof.Nobody;
        }

        var ours = new HashSet<long>();
        foreach (var member in ProcFs.Group(group))
        {
            if (ProcFs.SocketInodes(member.Pid) is not { } inodes)
            {
                return ListenerProof.Unknown;
            }

            ours.UnionWith(inodes);
        }

        return listeners.All(ours.Contains) ? ListenerProof.Ours : ListenerProof.Stranger;
    }

    /// <summary>Inodes of the sockets that would take a connection to 127.0.0.1 on this port. Pure.</summary>
    internal static ImmutableArray<long> ListenersOn(string tables, int port)
    {
        var inodes = ImmutableArray.CreateBuilder<long>();
        foreach (var line in tables.Split('\n'))
        {
            var fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (fields.Length < 10 || fields[3] != Listen || fields[1].Split(':') is not [var host, var hex])
            {
                continue;
            }

            if (int.TryParse(hex, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var at) && at == port && TakesLoopback(host)
                && long.TryParse(fields[9], CultureInfo.InvariantCulture, out var inode))
            {
                inodes.Add(inode);
            }
        }

        return inodes.ToImmutable();
    }

    /// <summary>127.0.0.1 or any address, as the kernel prints them: four-byte groups in the machine's byte order.</summary>
    private static bool TakesLoopback(string host) => host is
        "0100007F" or "00000000"
        or "00000000000000000000000000000000"
        or "0000000000000000FFFF00000100007F" or "0000000000000000FFFF000000000000";
}
