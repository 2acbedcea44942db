using System.Globalization;
using LlmGateway.Gateway.Models;
using Microsoft.AspNetCore.Connections;

namespace LlmGateway.Gateway.Requests;

/// <summary>Reads a request whole and finds out what it asks for, or what is wrong with it.</summary>
internal sealed class RequestReader(LiveCatalogue live, BodyBudget budget, TimeProvider time)
{
    /// <summary>A body that is looked into at once: in less than a millisecond.</summary>
    private const int LongestInline = 256 * 1024;

    /// <summary>A longer hint is none.</summary>
    private const int LongestSession = 256;

    /// <summary>The request, which the caller disposes, or the error that the client gets.</summary>
    /// <param name="context">The client's call.</param>
    /// <param name="endpoint">What it calls.</param>
    /// <param name="path">Which of the endpoint's paths, in the endpoint's own spelling.</param>
    /// <param name="caller">Who calls.</param>
    /// <param name="id">The call's id.</param>
    /// <param name="fixedModel">The model, when the call's address has named it already; then the body does not decide.</param>
    public async ValueTask<(InferenceRequest? Request, ApiError? Error)> ReadAsync(
        HttpContext context, InferenceEndpoint endpoint, string path, Caller caller, string id, Model? fixedModel = null)
    {
        var arrivedAt = context.Features.Get<Arrival>()?.Timestamp ?? time.GetTimestamp();
        var clock = new OverheadClock(time, arrivedAt);
        var (body, unread) = await ReadBodyAsync(context, clock);
        if (body is null)
        {
            return (null, unread);
        }

        if (body.Length > LongestInline)
        {
            // To look into it takes a while, and the thread that brought it may have other connections to serve.
            await Task.Yield();
        }

        var isTaken = false;
        try
        {
            var boundary = endpoint.IsForm ? MultipartForm.BoundaryOf(context.Request.ContentType) : null;
            var (facts, error) = Peek(endpoint, body, boundary);
            if (error is not null)
            {
                return (null, error);
            }

            var (model, unknown) = fixedModel is null ? Find(facts!.Model, context.Request) : (fixedModel, null);
            if (model is null)
            {
                return (null, unknown);
            }

            if (!caller.Allows(model))
            {
                return (null, ApiErrors.ModelNotAllowed(model.Name));
            }

            if (model.Rewrite is { } rewrite)
            {
                if (boundary is not null && rewrite.Holds(boundary))
                {
                    return (null, ApiErrors.InvalidParameter("Content-Type", "must name another boundary"));
                }

                if (Rewritten(body, rewrite, boundary) is not { } rewritten)
                {
                    return (null, ApiErrors.QueueFull(TimeSpan.FromSeconds(1)));
                }

                body.Dispose();
                body = rewritten;

                // What the backend will read decides, not what the client wrote.
                (facts, error) = Peek(endpoint, body, boundary);
                if (error is not null)
                {
                    return (null, error);
                }
            }

            if (facts!.Choices > model.LargestBackend)
            {
                return (null, ApiErrors.InvalidParameter("n", $"must not be above {model.LargestBackend}, the slots of one backend of this model"));
            }

            if (facts.Choices > 1 && endpoint.Dialect == ApiDialect.Responses)
            {
                // Each choice would be a response of its own in one stream.
                return (null, ApiErrors.InvalidParameter("n", "must be 1: a response has one answer"));
            }

            if (facts.NamesRemoteMedia && !live.Options.Gateway.AllowRemoteMedia)
            {
                return (null, ApiErrors.InvalidParameter("messages", "must hold images, sounds and files as data:, not by address; Gateway:AllowRemoteMedia says so"));
            }

            if (facts.PinsSlot && model.LargestBackend > 1)
            {
                return (null, ApiErrors.InvalidParameter("id_slot", "must be -1: which slot takes a request is the gateway's to decide"));
            }

            if (Hints(context.Request.Headers, caller, out var priority, out var within, out var keepAlive) is { } wrong)
            {
                return (null, wrong);
            }

            isTaken = true;
            return (new InferenceRequest
            {
                Id = id,
                Endpoint = endpoint,
                Path = path,
                Model = model,
                Body = body,
                Stream = facts.Stream,
                Choices = facts.Choices,
                Shape = endpoint.Dialect == ApiDialect.Native ? new(endpoint.Dialect, facts.Ends(endpoint.FanOut), facts.PicksFields) : new(endpoint.Dialect),
                Slots = Math.Min(facts.FanOut(endpoint.FanOut), model.LargestBackend),
                Priority = priority,
                Key = caller.Name,
                HasKey = caller != Caller.Anonymous,
                Weight = caller.Weight,
                MaxTokens = facts.MaxTokens,
                Prefix = endpoint.IsForm || !endpoint.TakesSlot ? [] : PrefixChain.Of(body.Bytes.Span),
                Session = context.Request.Headers["x-session-id"].ToString() is { Length: > 0 and <= LongestSession } session ? PrefixChain.OfSession(caller.Name, session) : 0,
                FirstTokenWithin = within,
                KeepAlive = keepAlive,
                ArrivedAt = arrivedAt,
                Overhead = clock,
            }, null);
        }
        finally
        {
            if (!isTaken)
            {
                body.Dispose();
            }
        }
    }

    private static (BodyFacts? Facts, ApiError? Error) Peek(InferenceEndpoint endpoint, RequestBody body, string? boundary) =>
        endpoint.IsForm ? FormPeek.Read(body.Bytes.Span, boundary) : BodyPeek.Read(body.Bytes.Span);

    private static RequestBody? Rewritten(RequestBody body, BodyRewrite rewrite, string? boundary) => boundary is null
        ? body.Rewritten(rewrite.Growth, rewrite.Apply)
        : body.Rewritten(rewrite.GrowthOfForm(boundary), (form, output) => rewrite.ApplyToForm(form, boundary, output));

    /// <summary>The body alone; what is not there yet is the client's time.</summary>
    private async ValueTask<(RequestBody? Body, ApiError? Error)> ReadBodyAsync(HttpContext context, OverheadClock clock)
    {
        var reading = ReadBodyAsync(context);
        if (reading.IsCompleted)
        {
            return await reading;
        }

        var since = time.GetTimestamp();
        try
        {
            return await reading;
        }
        finally
        {
            clock.TakeOff(time.GetElapsedTime(since));
        }
    }

    /// <summary>The body alone, which the caller disposes, or the error that the client gets.</summary>
    public async ValueTask<(RequestBody? Body, ApiError? Error)> ReadBodyAsync(HttpContext context)
    {
        var encoding = context.Request.Headers.ContentEncoding.ToString();
        if (encoding.Length > 0 && !encoding.Equals("identity", StringComparison.OrdinalIgnoreCase))
        {
            return (null, ApiErrors.UnsupportedEncoding);
        }

        var gateway = live.Options.Gateway;
        var limit = gateway.MaxRequestBody.Bytes;
        var announced = context.Request.ContentLength;
        if (announced > limit)
        {
            return (null, ApiErrors.BodyTooLarge(limit));
        }

        try
        {
            var body = await RequestBody.ReadAsync(context.Request.Body, announced, budget, gateway.BodyTimeout, time, context.RequestAborted);
            return (body, body is null ? ApiErrors.QueueFull(TimeSpan.FromSeconds(1)) : null);
        }
        catch (BadHttpRequestException e) when (e.StatusCode is StatusCodes.Status413PayloadTooLarge or StatusCodes.Status408RequestTimeout)
        {
            return (null, e.StatusCode == StatusCodes.Status413PayloadTooLarge ? ApiErrors.BodyTooLarge(limit) : ApiErrors.RequestTimeout);
        }
        catch (IOException e) when (e is not ConnectionResetException && !context.RequestAborted.IsCancellationRequested)
        {
            // Kestrel's own word for a chunk that is none.
            return (null, ApiErrors.MalformedBody);
        }
    }

    /// <summary>The model that the body names, else the query, else the only one; or what is wrong.</summary>
    private (Model? Model, ApiError? Error) Find(string? inBody, HttpRequest request)
    {
        const string Parameter = "model";
        var catalogue = live.Current;
        var name = !string.IsNullOrEmpty(inBody) ? inBody : request.Query[Parameter].ToString();
        return string.IsNullOrEmpty(name)
            ? (catalogue.Sole, catalogue.Sole is null ? ApiErrors.MissingModel : null)
            : catalogue.Find(name) is { } model ? (model, null) : (null, ApiErrors.ModelNotFound);
    }

    private static ApiError? Hints(IHeaderDictionary headers, Caller caller, out Priority priority, out TimeSpan? within, out bool keepAlive)
    {
        const string PriorityHeader = "x-llmgateway-priority";
        const string TimeoutHeader = "x-llmgateway-timeout-ms";
        const string KeepAliveHeader = "x-llmgateway-keepalive";
        (priority, within, keepAlive) = (caller.Usual, null, false);
        if (headers[PriorityHeader].ToString() is { Length: > 0 } wanted)
        {
            // By name only: an enum's own parser takes numbers and lists, too.
            if (Array.FindIndex(Enum.GetNames<Priority>(), name => name.Equals(wanted, StringComparison.OrdinalIgnoreCase)) is var band && band < 0)
            {
                return ApiErrors.InvalidParameter(PriorityHeader, "must be high, normal, low or batch");
            }

            // Bands are numbered from the highest: the ceiling is a floor of the number.
            priority = (Priority)Math.Max(band, (int)caller.Ceiling);
        }

        if (headers[TimeoutHeader].ToString() is { Length: > 0 } limit)
        {
            if (!int.TryParse(limit, NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds) || milliseconds < 1)
            {
                return ApiErrors.InvalidParameter(TimeoutHeader, "must be a whole number of milliseconds, 1 or more");
            }

            within = TimeSpan.FromMilliseconds(milliseconds);
        }

        var wish = headers[KeepAliveHeader].ToString();
        keepAlive = wish == "1";
        return wish is "" or "0" or "1" ? null : ApiErrors.InvalidParameter(KeepAliveHeader, "must be 1 or 0");
    }
}
