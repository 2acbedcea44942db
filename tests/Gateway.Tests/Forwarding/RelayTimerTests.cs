using CsCheck;
using LlmGateway.Gateway.Forwarding;
using Microsoft.Extensions.Time.Testing;

namespace LlmGateway.Gateway.Tests.Forwarding;

public sealed class RelayTimerTests
{
    private static readonly TimeSpan FirstToken = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Between = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Total = TimeSpan.FromSeconds(60);

    private readonly FakeTimeProvider _time = new();

    [Fact]
    public void Wait_LongerThanTokensMayTake_ExpiresThenAndNotBefore()
    {
        using var timer = Started(_time);
        using var wait = timer.Begin();
        _time.Advance(Between - TimeSpan.FromMilliseconds(1));
        Assert.False(timer.HasExpired);

        _time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.True(timer.HasExpired);
        Assert.True(timer.Token.IsCancellationRequested);
    }

    [Fact]
    public void Time_ThatPassesWhileNobodyWaits_DoesNotCount()
    {
        using var timer = Started(_time);
        for (var i = 0; i < 5; i++)
        {
            timer.Begin().Dispose();
            _time.Advance(TimeSpan.FromSeconds(9));
        }

        Assert.False(timer.Token.IsCancellationRequested);
    }

    [Fact]
    public void Wait_ShorterThanWhatIsArmed_ExpiresAtItsOwnEnd()
    {
        using var timer = Started(_time);
        using var wait = timer.Begin(TimeSpan.FromMilliseconds(300));

        _time.Advance(TimeSpan.FromMilliseconds(300));

        Assert.True(timer.HasExpired);
    }

    [Fact]
    public void End_OfAllTime_IsToldToWhoeverWaitsNext()
    {
        using var timer = Started(_time);
        _time.Advance(2 * Total);
        Assert.False(timer.HasExpired);

        using var wait = timer.Begin();
        _time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.True(timer.HasExpired);
    }

    [Fact]
    public void Dispose_EndsItWithoutAWord()
    {
        using var gone = new CancellationTokenSource();
        var timer = new RelayTimer(_time, FirstToken, Between, Total, gone.Token, CancellationToken.None);
        var token = timer.Token;
        timer.Dispose();

        _time.Advance(Total);
        gone.Cancel();

        Assert.Equal((false, false), (timer.HasExpired, token.IsCancellationRequested));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Leaving_OfClientOrBackend_IsNoExpiry(bool isClient)
    {
        using var leaving = new CancellationTokenSource();
        using var timer = new RelayTimer(_time, FirstToken, Between, Total, isClient ? default : leaving.Token, isClient ? leaving.Token : default);

        leaving.Cancel();

        Assert.Equal((true, false), (timer.Token.IsCancellationRequested, timer.HasExpired));
    }

    // What it arms for is a moment that has often passed by then: however waits, tokens and time follow each other, it must end at the moment that the plain sum says.
    [Fact]
    public void Expiry_WhateverHappensBefore_ComesWhenTheSumOfWaitsSays() =>
        Gen.Select(Gen.Int[0, 3], Gen.Int[0, 4000]).Array[1, 60].Sample(steps =>
        {
            var time = new FakeTimeProvider();
            using var timer = Started(time);
            var (now, waited, waiting) = (TimeSpan.Zero, TimeSpan.Zero, false);
            RelayTimer.Wait wait = default;
            foreach (var (what, milliseconds) in steps)
            {
                if (waiting && what == 1)
                {
                    timer.Progressed();
                    waited = TimeSpan.Zero;
                }

                if (waiting && what is 0 or 1)
                {
                    wait.Dispose();
                    waiting = false;
                }
                else if (!waiting && what is 2)
                {
                    wait = timer.Begin();
                    waiting = true;
                }

                var step = TimeSpan.FromMilliseconds(milliseconds);
                var isOver = waiting && (waited + step >= Between || now + step >= Total);
                time.Advance(step);
                now += step;
                waited += waiting ? step : TimeSpan.Zero;
                Assert.Equal(isOver, timer.HasExpired);
                if (isOver)
                {
                    return;
                }

                if (now >= Total)
                {
                    // Whoever begins to wait now is told at once; that is another case.
                    return;
                }
            }
        });

    private static RelayTimer Started(FakeTimeProvider time)
    {
        var timer = new RelayTimer(time, FirstToken, Between, Total, CancellationToken.None, CancellationToken.None);
        using (timer.Begin())
        {
            timer.Progressed();
        }

        return timer;
    }
}
