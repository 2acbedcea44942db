using System.Security.Cryptography;
using System.Text;
using LlmGateway.EndToEnd.Tests.Gateways;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Sdks;

/// <summary>
/// What the SDKs of others talk to: a real model that chats and embeds; one whose only slot is held and whose queue holds nobody; one that is so for a
/// moment whenever a test asks it to; one that breaks off in the middle; and one that calls tools.
/// </summary>
public sealed class SdkGateway : IAsyncLifetime
{
    public const string Key = "sk-sdk-test-0123456789";
    public const string Model = "org/tiny:noise";
    public const string Saturated = "saturated";

    public const string Busy = "busy";
    public const string Breaking = "breaking";
    public const string Tools = "tools";

    private StreamedAnswer? _holder;
    private ToolServer? _tools;

    public GatewayProcess Gateway { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        if (!RealServer.IsThere)
        {
            return;
        }

        var cancellationToken = TestContext.Current.CancellationToken;
        _tools = await ToolServer.StartAsync(cancellationToken);
        Gateway = await GatewayProcess.StartAsync(
            $$"""
            { "Keys": [ { "Name": "sdk", "Hash": "sha256:{{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Key)))}}" } ],
              "Models": {
                "{{Model}}": {
                  "Executable": "{{RealServer.Executable}}",
                  "Args": ["-m", "{{RealServer.TinyModel}}", "-c", "8192", "--embeddings", "--pooling", "mean"], "Slots": 4 },
                "{{Saturated}}": { "Kind": "simulator", "Slots": 1, "Args": ["--sim-token-rate", "5"], "Queue": { "MaxDepth": 0 } },
                "{{Busy}}": { "Kind": "simulator", "Slots": 1, "Args": ["--sim-token-rate", "20"], "Queue": { "MaxDepth": 0 } },
                "{{Breaking}}": { "Kind": "simulator", "Slots": 1, "Args": ["--sim-token-rate", "50", "--sim-drop-after-tokens", "3"] },
                "{{Tools}}": { "Kind": "remote", "Remotes": [ { "Url": "{{_tools.Url}}" } ] } } }
            """,
            cancellationToken);
        await Gateway.UntilReadyAsync(cancellationToken);
        using var client = Gateway.WithKey(Key);
        _holder = await client.StreamAsync(Saturated, 30_000, cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        _holder?.Dispose();
        if (Gateway is not null)
        {
            await Gateway.DisposeAsync();
        }

        if (_tools is not null)
        {
            await _tools.DisposeAsync();
        }
    }
}

/// <summary>One gateway for the SDKs of all languages.</summary>
[CollectionDefinition(nameof(SdkGatewayUsers))]
public sealed class SdkGatewayUsers : ICollectionFixture<SdkGateway>;
