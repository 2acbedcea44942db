using System.Collections.Immutable;
using System.Text;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Tests.Fakes;

/// <summary>Requests and bodies as a test needs them.</summary>
internal static class Asked
{
    public static readonly InferenceEndpoint Chat = InferenceEndpoint.All.Single(endpoint => endpoint.Name == "chat_completions");

    public static InferenceRequest Of(
        Model model, int slots = 1, int bytes = 10, Priority priority = Priority.Normal, TimeSpan? within = null, long arrivedAt = 0, bool stream = true, InferenceEndpoint? endpoint = null,
        string? key = null, int weight = 1, int? maxTokens = null, ImmutableArray<PrefixLink>? prefix = null, ulong session = 0, int choices = 1) => new()
        {
            Id = "req-1",
            Endpoint = endpoint ?? Chat,
            Path = (endpoint ?? Chat).Paths[0],
            Model = model,
            Body = Body(new byte[bytes]),
            Stream = stream,
            Shape = new((endpoint ?? Chat).Dialect),
            Choices = choices,
            Slots = slots,
            Priority = priority,
            Key = key ?? "none",
            HasKey = key is not null,
            Weight = weight,
            MaxTokens = maxTokens,
            Prefix = prefix ?? [],
            Session = session,
            FirstTokenWithin = within,
            ArrivedAt = arrivedAt,
            Overhead = new OverheadClock(TimeProvider.System, arrivedAt),
        };

    public static RequestBody Body(string text) => Body(Encoding.UTF8.GetBytes(text));

    public static RequestBody Body(byte[] bytes)
    {
        // Memory never waits.
        var read = RequestBody.ReadAsync(new MemoryStream(bytes), bytes.Length, new BodyBudget(long.MaxValue), Timeout.InfiniteTimeSpan, TimeProvider.System, CancellationToken.None).AsTask();
        Assert.True(read.IsCompletedSuccessfully);
        return read.Result!;
    }
}
