using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;

namespace LlmGateway.LoadTests.Running;

/// <summary>The management port of a gateway that the run has started.</summary>
internal sealed class ManagementClient : IDisposable
{
    private readonly HttpClient _http;
    private readonly string _model;

    public ManagementClient(Uri url, string tokenFile, string model)
    {
        _model = model;
        _http = new HttpClient { BaseAddress = url };
        _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", File.ReadAllText(tokenFile).Trim());
    }

    /// <summary>The model's processes.</summary>
    public async Task<IReadOnlyList<ReplicaFacts>> ReplicasAsync(CancellationToken cancellationToken)
    {
        using var response = await _http.GetAsync(new Uri("/api/status", UriKind.Relative), cancellationToken).ConfigureAwait(false);
        response.EnsureSuccessStatusCode();
        using var status = JsonDocument.Parse(await response.Content.ReadAsByteArrayAsync(cancellationToken).ConfigureAwait(false));
        var model = status.RootElement.GetProperty("models").EnumerateArray().First(model => model.GetProperty("name").GetString() == _model);
        return
        [
            .. model.GetProperty("replicas").EnumerateArray().Select(static replica => new ReplicaFacts(
                replica.GetProperty("backend").GetString()!,
                replica.TryGetProperty("pid", out var pid) && pid.ValueKind == JsonValueKind.Number ? pid.GetInt32() : null,
                replica.GetProperty("slots").GetProperty("busy").GetInt32())),
        ];
    }

    /// <summary>Restarts one process and waits until it is back.</summary>
    public async Task RestartAsync(int replica, CancellationToken cancellationToken)
    {
        var path = string.Create(CultureInfo.InvariantCulture, $"/api/replicas/{Uri.EscapeDataString(_model)}/{replica}/restart?wait=true");
        using var response = await _http.PostAsync(new Uri(path, UriKind.Relative), null, cancellationToken).ConfigureAwait(false);
        response.EnsureSuccessStatusCode();
    }

    public void Dispose() => _http.Dispose();
}

/// <summary>A process behind the gateway.</summary>
/// <param name="Name">The backend's.</param>
/// <param name="Pid">Null while none lives.</param>
/// <param name="Busy">Slots that work.</param>
internal sealed record ReplicaFacts(string Name, int? Pid, int Busy);
