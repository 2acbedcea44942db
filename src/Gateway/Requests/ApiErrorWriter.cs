using System.Globalization;

namespace LlmGateway.Gateway.Requests;

/// <summary>Writes an <see cref="ApiError"/> as an answer.</summary>
internal static class ApiErrorWriter
{
    /// <summary>Writes the error, unless the answer has already begun.</summary>
    public static Task WriteAsync(HttpContext context, ApiError error, ApiDialect dialect, string requestId)
    {
        var response = context.Response;
        if (response.HasStarted)
        {
            return Task.CompletedTask;
        }

        response.StatusCode = error.Status;
        response.ContentType = "application/json";
        RequestId.Show(response.Headers, dialect, requestId);
        if (error.RetryAfter is { } wait)
        {
            response.Headers.RetryAfter = ((int)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
            response.Headers["retry-after-ms"] = ((long)Math.Ceiling(wait.TotalMilliseconds)).ToString(CultureInfo.InvariantCulture);
        }

        var body = error.ToJson(dialect, requestId);
        response.ContentLength = body.Length;
        return HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask : response.Body.WriteAsync(body, context.RequestAborted).AsTask();
    }

    /// <summary>The API that a path belongs to, for errors that come before the endpoint is known.</summary>
    public static ApiDialect DialectOf(PathString path) =>
        path.StartsWithSegments("/v1/messages", StringComparison.OrdinalIgnoreCase) ? ApiDialect.Messages : ApiDialect.OpenAi;
}

/// <summary>An <see cref="ApiError"/> as an endpoint's result.</summary>
internal sealed class ApiErrorResult(ApiError error) : IResult
{
    public Task ExecuteAsync(HttpContext httpContext) =>
        ApiErrorWriter.WriteAsync(httpContext, error, ApiErrorWriter.DialectOf(httpContext.Request.Path), httpContext.TraceIdentifier);
}
