using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;

namespace LlmGateway.TestKit.Simulators;

/// <summary>A running simulator's own endpoints: faults in, observations out.</summary>
public sealed class SimulatorControl : IDisposable
{
    private readonly HttpClient _client;

    public SimulatorControl(HttpClient client) => _client = client;

    /// <param name="address">As a gateway's status shows it: <c>http://127.0.0.1:18100</c> or <c>unix:/run/x.sock</c>.</param>
    public SimulatorControl(string address)
        : this(Connect(address))
    {
    }

    /// <summary>Changes the named faults and leaves the others, as in <c>new { tokenRate = 5, dropAfterTokens = 3 }</c>.</summary>
    public async Task SetFaultsAsync(object faults, CancellationToken cancellationToken)
    {
        using var response = await _client.PostAsJsonAsync("sim/faults", faults, cancellationToken);
        if (!response.IsSuccessStatusCode)
        {
            throw new ArgumentException(await response.Content.ReadAsStringAsync(cancellationToken), nameof(faults));
        }
    }

    /// <summary>Puts every fault and pace back to its default.</summary>
    public async Task ClearFaultsAsync(CancellationToken cancellationToken)
    {
        using var response = await _client.DeleteAsync(new Uri("sim/faults", UriKind.Relative), cancellationToken);
        response.EnsureSuccessStatusCode();
    }

    public async Task<SimulatorState> GetStateAsync(CancellationToken cancellationToken) =>
        (await _client.GetFromJsonAsync<SimulatorState>("sim/state", JsonSerializerOptions.Web, cancellationToken))!;

    public void Dispose() => _client.Dispose();

    private static HttpClient Connect(string address)
    {
        const string Unix = "unix:";
        if (!address.StartsWith(Unix, StringComparison.Ordinal))
        {
            return new HttpClient { BaseAddress = new Uri(address) };
        }

        return new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(address[Unix.Length..]), cancellationToken);
                return new NetworkStream(socket, ownsSocket: true);
            },
        })
        {
            BaseAddress = new Uri("http://localhost/"),
        };
    }
}
