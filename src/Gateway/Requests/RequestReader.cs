using System.Globalization;
using LlmGateway.Gateway.Models;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;

namespace LlmGateway.Gateway.Requests;

/// <summary>Reads a request whole and finds out what it asks for, or what is wrong with it.</summary>
internal sealed class RequestReader(LiveCatalogue live, BodyBudget budget, TimeProvider time)
{
    private const int LongestModelField = 1024;

    /// <summary>A longer hint is none.</summary>
    private const int LongestSession = 256;

    /// <summary>The request, which the caller disposes, or the error that the client gets.</summary>
    /// <param name="context">The client's call.</param>
    /// <param name="endpoint">What it calls.</param>
    /// <param name="path">Which of the endpoint's paths, in the endpoint's own spelling.</param>
    /// <param name="caller">Who calls.</param>
    /// <param name="id">The call's id.</param>
    public async ValueTask<(InferenceRequest? Request, ApiError? Error)> ReadAsync(
        HttpContext context, InferenceEndpoint endpoint, string path, Caller caller, string id)
    {
        var arrivedAt = context.Features.Get<Arrival>()?.Timestamp ?? time.GetTimestamp();
        var clock = new OverheadClock(time, arrivedAt);
        var catalogue = live.Current;
        var headers = context.Request.Headers;
        if (headers.ContentEncoding.ToString() is { Length: > 0 } encoding && !encoding.Equals("identity", StringComparison.OrdinalIgnoreCase))
        {
            return (null, ApiErrors.UnsupportedEncoding);
        }

        var limit = catalogue.Options.Gateway.MaxRequestBody.Bytes;
        if (context.Request.ContentLength > limit)
        {
            return (null, ApiErrors.BodyTooLarge(limit));
        }

        RequestBody? body;
        try
        {
            body = await ReadAsync(context, clock);
        }
        catch (BadHttpRequestException e) when (e.StatusCode == StatusCodes.Status413PayloadTooLarge)
        {
            return (null, ApiErrors.BodyTooLarge(limit));
        }

        if (body is null)
        {
            return (null, ApiErrors.QueueFull(TimeSpan.FromSeconds(1)));
        }

        var isTaken = false;
        try
        {
            var (facts, error) = endpoint.IsForm ? await FormFactsAsync(context.Request.ContentType, body) : BodyPeek.Read(body.Bytes.Span);
            if (error is not null)
            {
                return (null, error);
            }

            var model = string.IsNullOrEmpty(facts!.Model) ? catalogue.Sole : catalogue.Find(facts.Model);
            if (model is null)
            {
                return (null, string.IsNullOrEmpty(facts.Model) ? ApiErrors.MissingModel : ApiErrors.ModelNotFound);
            }

            if (!caller.Allows(model))
            {
                return (null, ApiErrors.ModelNotAllowed(model.Name));
            }

            if (facts.Choices > model.LargestBackend)
            {
                return (null, ApiErrors.InvalidParameter("n", $"must not be above {model.LargestBackend}, the slots of one backend of this model"));
            }

            if (Hints(headers, caller, out var priority, out var within, out var keepAlive) is { } wrong)
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
                Slots = Math.Min(facts.FanOut(endpoint.FanOut), model.LargestBackend),
                Priority = priority,
                Key = caller.Name,
                HasKey = caller != Caller.Anonymous,
                Weight = caller.Weight,
                MaxTokens = facts.MaxTokens,
                Prefix = endpoint.IsForm || !endpoint.TakesSlot ? [] : PrefixChain.Of(body.Bytes.Span),
                Session = headers["x-session-id"].ToString() is { Length: > 0 and <= LongestSession } session ? PrefixChain.OfSession(caller.Name, session) : 0,
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

    /// <summary>The body; what is not there yet is the client's time.</summary>
    private async ValueTask<RequestBody?> ReadAsync(HttpContext context, OverheadClock clock)
    {
        var reading = RequestBody.ReadAsync(context.Request.Body, context.Request.ContentLength, budget, context.RequestAborted);
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

    /// <summary>The field <c>model</c> of a multipart form.</summary>
    private static async ValueTask<(BodyFacts? Facts, ApiError? Error)> FormFactsAsync(string? contentType, RequestBody body)
    {
        if (!MediaTypeHeaderValue.TryParse(contentType, out var type)
            || !type.MediaType.Equals("multipart/form-data", StringComparison.OrdinalIgnoreCase)
            || HeaderUtilities.RemoveQuotes(type.Boundary) is not { Length: > 0 and <= 200 } boundary)
        {
            return (null, ApiErrors.InvalidParameter("Content-Type", "must be multipart/form-data with a boundary"));
        }

        try
        {
            var facts = new BodyFacts();
            var reader = new MultipartReader(boundary.ToString(), body.OpenRead());
            while (await reader.ReadNextSectionAsync() is { } section)
            {
                if (section.GetContentDispositionHeader() is { } disposition && disposition.IsFormDisposition())
                {
                    using var text = new StreamReader(section.Body);
                    var buffer = new char[LongestModelField];
                    var value = new string(buffer, 0, await text.ReadBlockAsync(buffer));
                    facts = HeaderUtilities.RemoveQuotes(disposition.Name).ToString() switch
                    {
                        "model" => facts with { Model = value },
                        "stream" => facts with { Stream = value is "true" or "1" },
                        _ => facts,
                    };
                }
            }

            return (facts, null);
        }
        catch (Exception e) when (e is IOException or InvalidDataException)
        {
            return (null, ApiErrors.InvalidParameter("body", "is not a well-formed multipart form"));
        }
    }
}
