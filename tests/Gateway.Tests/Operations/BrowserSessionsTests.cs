using LlmGateway.Gateway.Operations;
using LlmGateway.Gateway.Operations.Login;
using LlmGateway.Gateway.Tests.Models;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Operations;

public sealed class BrowserSessionsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UnixEpoch.AddYears(50));
    private readonly ManagementToken _token;
    private readonly BrowserSessions _sessions;

    public BrowserSessionsTests()
    {
        _token = ManagementToken.LoadOrCreate(Path.Combine(_folder.Path, "token"));
        _sessions = new BrowserSessions(_token, _time);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Redeem_ACode_OpensOneSessionOnce()
    {
        var code = _sessions.NewCode();
        var other = _sessions.NewCode();
        Assert.Null(_sessions.Redeem("nonsense"));
        var cookie = _sessions.Redeem(code);
        Assert.NotNull(_sessions.Check(cookie));
        Assert.Null(_sessions.Redeem(code));
        Assert.NotNull(_sessions.Redeem(other));
    }

    [Fact]
    public void Redeem_ACodeThatIsTooOld_OpensNothing()
    {
        var code = _sessions.NewCode();
        _time.Advance(BrowserSessions.CodeLifetime + TimeSpan.FromSeconds(1));
        Assert.Null(_sessions.Redeem(code));
    }

    [Fact]
    public void RedeemToken_OnlyTheToken_OpensASession()
    {
        Assert.Null(_sessions.RedeemToken(""));
        Assert.Null(_sessions.RedeemToken(new string('0', 64)));
        Assert.NotNull(_sessions.Check(_sessions.RedeemToken(File.ReadAllText(_token.Path).Trim())));
    }

    [Fact]
    public void Check_Cookie_OutlivesARestartButNotItsTimeNorAnotherToken()
    {
        var cookie = _sessions.Redeem(_sessions.NewCode())!;
        Assert.Equal(_sessions.Check(cookie), new BrowserSessions(ManagementToken.LoadOrCreate(_token.Path), _time).Check(cookie));
        var other = ManagementToken.LoadOrCreate(Path.Combine(_folder.Path, "other"));
        Assert.Null(new BrowserSessions(other, _time).Check(cookie));
        _time.Advance(BrowserSessions.Lifetime + TimeSpan.FromSeconds(2));
        Assert.Null(_sessions.Check(cookie));
    }

    [Fact]
    public void Check_ATamperedCookie_IsNone()
    {
        var cookie = _sessions.Redeem(_sessions.NewCode())!;
        for (var i = 0; i < cookie.Length; i++)
        {
            var changed = cookie.ToCharArray();
            changed[i] = changed[i] == '1' ? '2' : '1';
            Assert.Null(_sessions.Check(new string(changed)));
        }

        Assert.Null(_sessions.Check(null));
        Assert.Null(_sessions.Check("a.b"));
        Assert.Null(_sessions.Check("9999999999999999999999.a.b"));
    }

    [Fact]
    public void Check_TwoSessions_HaveDifferentSecrets()
    {
        var (one, two) = (_sessions.Check(_sessions.Redeem(_sessions.NewCode()))!, _sessions.Check(_sessions.Redeem(_sessions.NewCode()))!);
        Assert.True(BrowserSessions.Matches(one, one));
        Assert.False(BrowserSessions.Matches(one, two));
        Assert.False(BrowserSessions.Matches(one, ""));
    }
}
