using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Operations.Cli;

/// <summary>The way from a verb to a running gateway's management listener: where it is, the token for it, and what its answers mean.</summary>
internal sealed class ManagementLink : IDisposable
{
    /// <summary>The variable that holds the token of a gateway on another machine.</summary>
    public const string TokenVariable = "LLMGATEWAY_TOKEN";

    /// <summary>The file in the state directory that says where the management listener really listens.</summary>
    public const string UrlFile = "management.url";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly HttpClient _client;
    private readonly Uri _url;

    private ManagementLink(Uri url, string token)
    {
        _url = url;
        _client = new HttpClient(new SocketsHttpHandler { UseProxy = false, ConnectTimeout = Patience }) { BaseAddress = url, Timeout = Timeout.InfiniteTimeSpan };
        _client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
    }

    /// <summary>Finds the gateway of this configuration.</summary>
    /// <param name="url">The one that was named, or null.</param>
    /// <param name="options">The configuration.</param>
    /// <param name="stateDirectory">Where that gateway keeps what outlives a run.</param>
    /// <exception cref="VerbFailure">There is no token.</exception>
    public static ManagementLink Open(string? url, GatewayOptions options, string stateDirectory)
    {
        var token = Environment.GetEnvironmentVariable(TokenVariable);
        var file = options.Management.TokenFile ?? Path.Combine(stateDirectory, "management.token");
        if (string.IsNullOrEmpty(token))
        {
            token = Read(file) ?? throw new VerbFailure(
                VerbFailure.NotAllowed, $"There is no management token in {file}: no gateway of this configuration has run as this user. Name another configuration with --config, or set {TokenVariable}.");
        }

        url ??= Read(Path.Combine(stateDirectory, UrlFile)) ?? options.Management.Listen[0];
        if (!Uri.TryCreate(url.TrimEnd('/') + "/", UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https"))
        {
            throw new VerbFailure(VerbFailure.Unreachable, $"'{url}' is no URL of a management listener, such as http://127.0.0.1:9090.");
        }

        return new ManagementLink(address, token);
    }

    /// <summary>Asks for JSON.</summary>
    public async Task<JsonNode> GetAsync(string path, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path) { Headers = { { "Accept", "application/json" } } };
        using var response = await SendAsync(request, cancellationToken);
        return JsonNode.Parse(await response.Content.ReadAsStringAsync(cancellationToken))!;
    }

    /// <summary>Orders; returns the answer, or null when it has none.</summary>
    public async Task<JsonNode?> PostAsync(string path, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path);
        using var response = await SendAsync(request, cancellationToken);
        var text = await response.Content.ReadAsStringAsync(cancellationToken);
        return text.Length == 0 ? null : JsonNode.Parse(text);
    }

    /// <summary>Asks for something that may go on for as long as somebody reads.</summary>
    public async Task<HttpResponseMessage> OpenStreamAsync(string path, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        return await SendAsync(request, cancellationToken);
    }

    public void Dispose() => _client.Dispose();

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        HttpResponseMessage response;
        try
        {
            response = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        }
        catch (HttpRequestException e)
        {
            throw new VerbFailure(VerbFailure.Unreachable, $"No gateway answers on {_url} ({e.GetBaseException().Message}). Is it running? --management URL names another address.");
        }
        catch (TaskCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new VerbFailure(VerbFailure.Unreachable, $"No gateway answers on {_url} within {Patience.TotalSeconds:0} s.");
        }

        if (response.IsSuccessStatusCode)
        {
            return response;
        }

        using (response)
        {
            var exit = response.StatusCode == HttpStatusCode.Unauthorized ? VerbFailure.NotAllowed : VerbFailure.Refused;
            throw new VerbFailure(exit, await ErrorAsync(response, cancellationToken));
        }
    }

    private static async Task<string> ErrorAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        try
        {
            var answer = JsonNode.Parse(await response.Content.ReadAsStringAsync(cancellationToken));
            var message = (string?)answer?["error"]?["message"] ?? $"The gateway answered {(int)response.StatusCode}.";
            var all = answer?["errors"] is JsonArray { Count: > 1 } errors ? errors.Select(error => $"\n  {error}") : [];
            return message + string.Concat(all);
        }
        catch (JsonException)
        {
            return $"What listens there answered {(int)response.StatusCode}, and not as a gateway does.";
        }
    }

    private static string? Read(string path)
    {
        try
        {
            return File.ReadAllText(path).Trim() is { Length: > 0 } text ? text : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
