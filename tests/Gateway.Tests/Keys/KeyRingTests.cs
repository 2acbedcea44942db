using LlmGateway.Gateway.Keys;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Tests.Fakes;
using Microsoft.Extensions.Primitives;

namespace LlmGateway.Gateway.Tests.Keys;

public sealed class KeyRingTests
{
    private readonly (string Secret, string Hash) _a = ApiKey.Create();
    private readonly (string Secret, string Hash) _b = ApiKey.Create();
    private readonly KeyRing _ring;

    public KeyRingTests() => _ring = new KeyRing([new() { Name = "a", Hash = _a.Hash }, new() { Name = "b", Hash = _b.Hash.ToUpperInvariant().Replace("SHA256", "sha256", StringComparison.Ordinal) }]);

    [Fact]
    public void Find_BothHeaderForms_GiveTheKey()
    {
        Assert.Equal("a", _ring.Find($"Bearer {_a.Secret}", default)?.Name);
        Assert.Equal("a", _ring.Find($"bearer  {_a.Secret} ", default)?.Name);
        Assert.Equal("b", _ring.Find(default, _b.Secret)?.Name);
        Assert.Equal("a", _ring.Find($"Bearer {_a.Secret}", _a.Secret)?.Name);
    }

    [Fact]
    public void Find_TwoDifferentSecrets_IsNoKey()
    {
        Assert.Null(_ring.Find($"Bearer {_a.Secret}", _b.Secret));
        Assert.Null(_ring.Find($"Bearer {_a.Secret}", "wrong"));
        Assert.Null(_ring.Find("Bearer wrong", _a.Secret));
        Assert.Null(_ring.Find(new StringValues([$"Bearer {_a.Secret}", $"Bearer {_a.Secret}"]), default));
        Assert.Null(_ring.Find(default, new StringValues([_a.Secret, _a.Secret])));
    }

    [Fact]
    public void Find_AnythingElse_IsNoKey()
    {
        string?[] corpus = [null, "", " ", "Bearer", "Bearer ", "Basic dTpw", _a.Secret, $"Bearer{_a.Secret}", $"Bearer {_a.Secret}x", $"Bearer {_a.Secret.ToUpperInvariant()}", $"Bearer {_a.Hash}", "Bearer ä€𝄞", "Bearer \ud800", "Bearer \0", $"Bearer {_a.Secret},{_b.Secret}", "Bearer " + new string('x', 100_000)];
        Assert.All(corpus, header => Assert.Null(_ring.Find(header, default)));
        Assert.All(corpus.Where(header => header != _a.Secret), header => Assert.Null(_ring.Find(default, header)));
    }

    [Fact]
    public void Find_OversizeSecretThatIsConfigured_IsNoKey()
    {
        var secret = new string('x', 513);
        var hash = "sha256:" + Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(secret)));
        Assert.Null(new KeyRing([new() { Name = "a", Hash = hash }]).Find("Bearer " + secret, default));
    }

    [Fact]
    public void Find_HeaderThatWasAccepted_OpensNothingOnceItsKeyIsGone()
    {
        var header = $"Bearer {_a.Secret}";
        Assert.Equal("a", _ring.Find(header, default)?.Name);
        Assert.Equal("a", _ring.Find(header, default)?.Name);
        Assert.Null(_ring.Find(header, _b.Secret));
        _ring.Apply([new() { Name = "b", Hash = _b.Hash }]);
        Assert.Null(_ring.Find(header, default));
    }

    [Fact]
    public void IsRequired_NoKeys_IsFalse()
    {
        Assert.False(new KeyRing([]).IsRequired);
        Assert.True(_ring.IsRequired);
    }

    [Fact]
    public void Create_Secret_Is256BitsAndItsHashIsValid()
    {
        Assert.Matches("^sk-[0-9a-f]{64}$", _a.Secret);
        Assert.NotEqual(_a.Secret, _b.Secret);
        Assert.Empty(GatewayOptionsValidator.Validate(new GatewayOptions { Keys = [new() { Name = "a", Hash = _a.Hash }] }));
    }

    [Fact]
    public void Allows_ModelsByNameAliasOrStar()
    {
        var model = Configured.Model(change: options => options with { Aliases = ["alias"] });
        ApiKey Key(params string[] models) => new(new KeyOptions { Hash = _a.Hash, Models = models });
        Assert.True(Key("*").Allows(model));
        Assert.True(Key("m").Allows(model));
        Assert.True(Key("alias").Allows(model));
        Assert.False(Key("other").Allows(model));
        Assert.False(Key("M").Allows(model));
        Assert.False(Key().Allows(model));
    }
}
