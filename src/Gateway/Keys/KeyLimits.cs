using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Keys;

/// <summary>Which of a key's limits refuses a request.</summary>
internal enum KeyLimit
{
    /// <summary><c>MaxConcurrent</c>.</summary>
    Concurrency,

    /// <summary><c>RequestsPerMinute</c> or <c>TokensPerMinute</c>.</summary>
    Rate,
}

/// <summary>The limits of each API key, across all models. What is refused, expires or fails costs nothing.</summary>
internal sealed class KeyLimits(LiveCatalogue live, TimeProvider time)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Account> _accounts = new(StringComparer.Ordinal);
    private readonly long _start = time.GetTimestamp();
    private IReadOnlyList<KeyOptions>? _known;

    private TimeSpan Now => time.GetElapsedTime(_start);

    /// <summary>Lets a request in, or says which limit does not, and for how long.</summary>
    /// <param name="key">The key's name.</param>
    /// <param name="tokens">Tokens that the request is likely to cost; 0 for one that only looks at text.</param>
    public (Pass? Pass, KeyLimit Limit, TimeSpan Wait) Enter(string key, double tokens)
    {
        lock (_lock)
        {
            Follow_NeedsLock();
            return _accounts.TryGetValue(key, out var account) ? Enter_NeedsLock(account, tokens, Now) : (Pass.Free, default, default);
        }
    }

    private (Pass?, KeyLimit, TimeSpan) Enter_NeedsLock(Account account, double tokens, TimeSpan now)
    {
        var wait = account.Wait(tokens, now);
        if (wait > TimeSpan.Zero)
        {
            return (null, KeyLimit.Rate, wait);
        }

        if (account.Running >= account.MostRunning)
        {
            return (null, KeyLimit.Concurrency, TimeSpan.Zero);
        }

        account.Running++;
        account.Take(1, tokens, now);
        return (new Pass(this, account, tokens), default, default);
    }

    private void Settle(Account account, double requests, double tokens)
    {
        lock (_lock)
        {
            account.Running--;
            account.Take(requests, tokens, Now);
        }
    }

    /// <summary>Takes over the keys in force. An account lives as long as its limits are the same.</summary>
    private void Follow_NeedsLock()
    {
        var keys = live.Options.Keys;
        if (ReferenceEquals(keys, _known))
        {
            return;
        }

        _known = keys;
        foreach (var gone in _accounts.Keys.Except(keys.Select(key => key.Name)).ToArray())
        {
            _accounts.Remove(gone);
        }

        foreach (var key in keys)
        {
            var limits = (key.MaxConcurrent, key.RequestsPerMinute, key.TokensPerMinute);
            if (limits == default)
            {
                _accounts.Remove(key.Name);
            }
            else if (!_accounts.TryGetValue(key.Name, out var account) || account.Limits != limits)
            {
                _accounts[key.Name] = new Account(limits, Now);
            }
        }
    }

    /// <summary>What one request took; it is settled once, when it has ended.</summary>
    internal sealed class Pass
    {
        private readonly KeyLimits? _owner;
        private readonly Account? _account;
        private readonly double _reserved;
        private int _isSettled;

        private Pass()
        {
        }

        public Pass(KeyLimits owner, Account account, double reserved) => (_owner, _account, _reserved) = (owner, account, reserved);

        /// <summary>Of a key without limits.</summary>
        public static Pass Free { get; } = new();

        /// <summary>Settles what the request really cost.</summary>
        /// <param name="isServed">False when it came to nothing: then it cost nothing.</param>
        /// <param name="tokens">Tokens, prompt and completion; null when the answer did not say, then the estimate stands.</param>
        public void Settle(bool isServed, double? tokens)
        {
            if (_owner is not null && Interlocked.Exchange(ref _isSettled, 1) == 0)
            {
                _owner.Settle(_account!, isServed ? 0 : -1, (isServed ? tokens ?? _reserved : 0) - _reserved);
            }
        }
    }

    /// <summary>One key's account. Guarded by the lock.</summary>
    internal sealed class Account
    {
        private RateBucket _requests;
        private RateBucket _tokens;

        public Account((int? Concurrent, int? Requests, int? Tokens) limits, TimeSpan now)
        {
            Limits = limits;
            _requests = new RateBucket(limits.Requests ?? 0, now);
            _tokens = new RateBucket(limits.Tokens ?? 0, now);
        }

        public (int? Concurrent, int? Requests, int? Tokens) Limits { get; }

        public int MostRunning => Limits.Concurrent ?? int.MaxValue;

        /// <summary>Requests in the gateway, queued ones included.</summary>
        public int Running { get; set; }

        /// <summary>How long a request of so many tokens must wait.</summary>
        public TimeSpan Wait(double tokens, TimeSpan now)
        {
            var requests = Limits.Requests is null ? TimeSpan.Zero : _requests.Wait(1, now);
            var rest = Limits.Tokens is null ? TimeSpan.Zero : _tokens.Wait(tokens, now);
            return requests > rest ? requests : rest;
        }

        public void Take(double requests, double tokens, TimeSpan now)
        {
            _requests.Take(requests, now);
            _tokens.Take(tokens, now);
        }
    }
}
