using Yarp.ReverseProxy.Forwarder;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>By YARP's forwarder, over .NET's own HTTP client.</summary>
internal sealed class YarpForwarder(IHttpForwarder forwarder, BackendInvokers invokers) : IAttemptForwarder
{
    // The attempts' own timers end what takes too long; the forwarder's would end a long prefill.
    private static readonly ForwarderRequestConfig Config = new()
    {
        ActivityTimeout = Timeout.InfiniteTimeSpan,
        Version = System.Net.HttpVersion.Version11,
        VersionPolicy = HttpVersionPolicy.RequestVersionExact,
    };

    public async ValueTask<ForwardEnd> SendAsync(HttpContext context, Attempt attempt)
    {
        // The forwarder's own token must not be cancelled once the answer has begun: it would keep the last event from the client.
        using var send = new CancellationTokenSource();
        await using var over = attempt.Over.UnsafeRegister(
            static state =>
            {
                var (attempt, send) = ((Attempt, CancellationTokenSource))state!;
                if (!attempt.IsCommitted)
                {
                    send.Cancel();
                }
            },
            (attempt, send));
        context.Request.Body = attempt.Body.OpenRead();

        // What an earlier attempt has left there would tell the forwarder that the answer is given.
        context.Response.Clear();
        var error = await forwarder.SendAsync(
            context, attempt.Backend.Address.BaseUri.AbsoluteUri, invokers.For(attempt.Backend, attempt.ConnectTimeout), Config, new Transformer(attempt), send.Token);

        // What an earlier attempt has left there is no fault of this one.
        var fault = error == ForwarderError.None ? null : context.GetForwarderErrorFeature()?.Exception ?? new IOException($"The forwarder failed: {error}.");
        return new ForwardEnd(error == ForwarderError.ResponseBodyClient, fault);
    }

    private sealed class Transformer(Attempt attempt) : HttpTransformer
    {
        /// <inheritdoc/>
        public override ValueTask TransformRequestAsync(HttpContext httpContext, HttpRequestMessage proxyRequest, string destinationPrefix, CancellationToken cancellationToken)
        {
            attempt.Describe(httpContext.Request.Headers).Describe(proxyRequest);
            return ValueTask.CompletedTask;
        }

        /// <inheritdoc/>
        public override async ValueTask<bool> TransformResponseAsync(HttpContext httpContext, HttpResponseMessage? proxyResponse, CancellationToken cancellationToken)
        {
            if (proxyResponse is null)
            {
                return false;
            }

            var relay = await attempt.TakeAsync(httpContext, AnswerHead.Of(proxyResponse), await proxyResponse.Content.ReadAsStreamAsync(attempt.Over));
            if (relay is null)
            {
                return false;
            }

            proxyResponse.Content = new RelayContent(relay, proxyResponse.Content);
            return true;
        }

        /// <inheritdoc/>
        public override ValueTask TransformResponseTrailersAsync(HttpContext httpContext, HttpResponseMessage proxyResponse, CancellationToken cancellationToken) =>
            ValueTask.CompletedTask;
    }
}
