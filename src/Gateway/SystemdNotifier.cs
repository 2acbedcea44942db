using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace LlmGateway.Gateway;

/// <summary>Tells systemd how the gateway is, when it was started by systemd: ready, alive, stopping. Else it does nothing.</summary>
/// <remarks>See sd_notify(3). What is told is never needed: a service manager that does not listen is no reason to fail.</remarks>
internal sealed class SystemdNotifier : IDisposable
{
    private const string SocketVariable = "NOTIFY_SOCKET";
    private const string PeriodVariable = "WATCHDOG_USEC";
    private const string PidVariable = "WATCHDOG_PID";

    private readonly Socket? _socket;
    private readonly UnixDomainSocketEndPoint? _address;
    private readonly TimeSpan? _patience;
    private ITimer? _alive;

    private SystemdNotifier(string? address, TimeSpan? patience)
    {
        if (address is { Length: > 1 } && address[0] is '/' or '@')
        {
            // A name that begins with @ is in the abstract namespace.
            _address = new(address[0] == '@' ? '\0' + address[1..] : address);
            _socket = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { Blocking = false };
            _patience = patience;
        }
    }

    /// <summary>Reads what systemd has put into the environment, and takes it out: the gateway's own processes must not speak in its name.</summary>
    public static SystemdNotifier FromEnvironment()
    {
        var isOurs = Environment.GetEnvironmentVariable(PidVariable) is not { Length: > 0 } pid || pid == Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
        TimeSpan? patience = isOurs && long.TryParse(Environment.GetEnvironmentVariable(PeriodVariable), NumberStyles.None, CultureInfo.InvariantCulture, out var microseconds) && microseconds > 0
            ? TimeSpan.FromMicroseconds(microseconds)
            : null;
        var address = OperatingSystem.IsLinux() ? Environment.GetEnvironmentVariable(SocketVariable) : null;
        foreach (var variable in new[] { SocketVariable, PeriodVariable, PidVariable })
        {
            Environment.SetEnvironmentVariable(variable, null);
        }

        return new(address, patience);
    }

    /// <summary>Both listeners are bound. From now on it is told twice in each watchdog period that work is still done: by a timer that needs the thread pool.</summary>
    public void Ready(string status, TimeProvider time)
    {
        Tell($"READY=1\nSTATUS={status}");
        if (_patience is { } patience)
        {
            _alive = time.CreateTimer(_ => Tell("WATCHDOG=1"), null, TimeSpan.Zero, patience / 2);
        }
    }

    /// <summary>Takes no new work any more.</summary>
    public void Stopping() => Tell("STOPPING=1\nSTATUS=Draining");

    public void Dispose()
    {
        _alive?.Dispose();
        _socket?.Dispose();
    }

    private void Tell(string state)
    {
        try
        {
            _socket?.SendTo(Encoding.UTF8.GetBytes(state), _address!);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Nobody listens, or the last ping meets the end.
        }
    }
}
