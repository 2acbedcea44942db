using System.Text;
using LlmGateway.Gateway.Requests;
using Microsoft.AspNetCore.Http.Features;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>The client's side of one request: what it has been sent so far decides how it can be told what comes next.</summary>
/// <remarks>
/// For a client that wants to be kept alive the response begins with comments while the request waits. From then on its status is 200, so a refusal
/// comes as an error event, and what is known later than the headers comes as a comment. Disposing restores the response's own features.
/// </remarks>
internal sealed class ClientAnswer : IAsyncDisposable
{
    private readonly HttpContext _context;
    private readonly InferenceRequest _request;
    private readonly IHttpResponseFeature? _real;
    private readonly ResponseInWaiting? _waiting;
    private readonly KeepAlive? _keepAlive;

    public ClientAnswer(HttpContext context, InferenceRequest request, TimeProvider time)
    {
        (_context, _request) = (context, request);
        if (request is { Stream: true, KeepAlive: true })
        {
            _real = context.Features.GetRequiredFeature<IHttpResponseFeature>();
            _waiting = new ResponseInWaiting(_real);
            _keepAlive = new KeepAlive(time, WriteCommentAsync);
            context.Features.Set<IHttpResponseFeature>(_waiting);
        }
    }

    /// <summary>True when comments have begun the response: its status is 200 and its type is a stream of events.</summary>
    public bool IsCommitted => _real?.HasStarted == true;

    /// <summary>The request has to wait for a slot.</summary>
    public void WaitsForSlot() => _keepAlive?.Start(TimeSpan.Zero);

    /// <summary>A backend has the request.</summary>
    public void WaitsForBackend() => _keepAlive?.Start(KeepAlive.Patience);

    /// <summary>The answer begins: no more comments, and whatever is set on the response from here on is the client's.</summary>
    /// <param name="status">The answer's status.</param>
    /// <param name="route">Writes the headers that tell how the answer came about.</param>
    public async ValueTask BeginAsync(int status, IAttemptWatcher route)
    {
        await EndWaitAsync();
        if (!IsCommitted)
        {
            _context.Response.StatusCode = status;
            route.DescribeRoute(_context.Response.Headers);
            return;
        }

        _waiting!.HasStarted = true;
        var headers = new HeaderDictionary();
        route.DescribeRoute(headers);
        var comment = new StringBuilder();
        foreach (var (name, value) in headers)
        {
            if (!_real!.Headers.ContainsKey(name))
            {
                comment.Append(": ").Append(name).Append(": ").Append(value.ToString()).Append('\n');
            }
        }

        await _context.Response.Body.WriteAsync(Encoding.ASCII.GetBytes(comment.Append('\n').ToString()), _context.RequestAborted);
    }

    /// <summary>Tells the client that there will be no answer.</summary>
    /// <param name="error">Why.</param>
    /// <param name="describe">Writes the headers that tell how far the request has come.</param>
    public async Task RefuseAsync(ApiError error, Action<IHeaderDictionary> describe)
    {
        await EndWaitAsync();
        if (IsCommitted)
        {
            await EndWithAsync(StreamEnd.ErrorEvent(_request.Endpoint.Dialect, error, _request.Id));
        }
        else
        {
            describe(_context.Response.Headers);
            await ApiErrorWriter.WriteAsync(_context, error, _request.Endpoint.Dialect, _request.Id);
        }
    }

    /// <summary>Passes a backend's own well-formed error on.</summary>
    public async Task PassRefusalAsync(int status, byte[] body, IAttemptWatcher route)
    {
        await BeginAsync(status, route);
        if (IsCommitted)
        {
            await EndWithAsync(StreamEnd.ErrorEvent(_request.Endpoint.Dialect, body));
        }
        else
        {
            _context.Response.ContentType = "application/json";
            _context.Response.ContentLength = body.Length;
            await _context.Response.Body.WriteAsync(body, _context.RequestAborted);
        }
    }

    /// <summary>Closes the client's connection once the message is complete: what follows a broken answer must not be taken for a whole one.</summary>
    public void CloseAfterwards() => ClosingConnection.Begin(_context);

    public async ValueTask DisposeAsync()
    {
        if (_keepAlive is { } keepAlive)
        {
            await keepAlive.DisposeAsync();
            _context.Features.Set(_real);
        }
    }

    private async ValueTask EndWaitAsync()
    {
        if (_keepAlive is { } keepAlive)
        {
            await keepAlive.StopAsync();
            if (!IsCommitted)
            {
                _context.Features.Set(_real);
            }
        }
    }

    private async Task EndWithAsync(byte[] lastEvent)
    {
        CloseAfterwards();
        await _context.Response.Body.WriteAsync(lastEvent, _context.RequestAborted);
    }

    private async Task WriteCommentAsync()
    {
        if (!IsCommitted)
        {
            _real!.StatusCode = StatusCodes.Status200OK;
            _real.Headers.ContentType = "text/event-stream";
            _real.Headers.CacheControl = "no-cache";
            _real.Headers["X-Accel-Buffering"] = "no";
            _real.Headers[RequestId.Header] = _request.Id;
            _real.Headers["x-llmgateway-model"] = _request.Model.Name;
        }

        var body = _context.Features.GetRequiredFeature<IHttpResponseBodyFeature>();
        await body.Stream.WriteAsync(": waiting\n\n"u8.ToArray(), _context.RequestAborted);
    }
}
