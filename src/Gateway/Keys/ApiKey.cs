using System.Collections.Frozen;
using System.Security.Cryptography;
using System.Text;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Keys;

/// <summary>Who asks: a configured key without its secret.</summary>
internal sealed class ApiKey
{
    private readonly FrozenSet<string> _models;
    private readonly bool _anyModel;

    public ApiKey(KeyOptions options)
    {
        Options = options;
        Hash = Convert.FromHexString(options.Hash.AsSpan("sha256:".Length));
        _anyModel = options.Models.Contains("*");
        _models = options.Models.ToFrozenSet(StringComparer.Ordinal);
    }

    public KeyOptions Options { get; }

    public string Name => Options.Name;

    /// <summary>SHA-256 of the secret.</summary>
    public byte[] Hash { get; }

    /// <summary>True when the key may use that model, by its name or one of its aliases.</summary>
    public bool Allows(Model model) => _anyModel || _models.Contains(model.Name) || model.Options.Aliases.Any(_models.Contains);

    /// <summary>A new secret of 256 random bits and the hash that goes into the configuration.</summary>
    public static (string Secret, string Hash) Create()
    {
        var secret = "sk-" + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        return (secret, "sha256:" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(secret))));
    }
}
