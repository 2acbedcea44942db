using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using CsCheck;
using LlmGateway.Gateway.Forwarding;
using LlmGateway.Gateway.Keys;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;
using LlmGateway.Gateway.Tests.Fakes;
using LlmGateway.TestKit.Fuzzing;
using Microsoft.AspNetCore.Http;

namespace LlmGateway.Gateway.Tests.Fuzz;

/// <summary>Whatever reads bytes of others, on mutants of a kept corpus: it never throws, never hangs, never grows, and keeps its promise.</summary>
public sealed class FuzzTests
{
    private const int Runs = 4000;

    [Theory]
    [InlineData("json.txt")]
    [InlineData("sse.txt")]
    [InlineData("configuration.txt")]
    [InlineData("paths.txt")]
    [InlineData("forms.txt")]
    public void Corpus_IsKept(string corpus) => Assert.InRange(Mutations.Entries(corpus).Length, 5, int.MaxValue);

    [Fact]
    public void BodyPeek_OnMutants_GivesFactsOrAnError() => Mutations.Of("json.txt").Sample(
        body =>
        {
            var (facts, error) = BodyPeek.Read(body);
            return (facts is null) != (error is null) && (facts is null || facts is { Choices: >= 1, Items: >= 1 });
        },
        iter: Runs);

    [Fact]
    public void BodyRewrite_OnMutants_IsJsonWithoutWhatWasStripped()
    {
        var rewrite = BodyRewrite.Of(new ModelOptions { StripParams = ["user"], SetParams = new JsonObject { ["model"] = "theirs", ["n"] = 1 } })!;
        Gen.OneOf(Mutations.Of("json.txt"), RandomJson.Object.Select(Encoding.UTF8.GetBytes)).Sample(
            body =>
            {
                if (BodyPeek.Read(body).Error is not null)
                {
                    return true;
                }

                var output = new byte[body.Length + rewrite.Growth];
                var reader = new Utf8JsonReader(output.AsSpan(0, rewrite.Apply(body, output)));
                var names = new List<string>();
                while (reader.Read())
                {
                    if (reader.CurrentDepth == 1 && reader.TokenType == JsonTokenType.PropertyName && reader.ValueSpan.Length < 100)
                    {
                        names.Add(Encoding.UTF8.GetString(reader.ValueSpan));
                    }
                }

                return names.Count(name => name == "model") == 1 && names.Count(name => name == "n") == 1 && !names.Contains("user");
            },
            iter: Runs);
    }

    [Fact]
    public void FormPeek_OnMutants_GivesFactsOrAnError() => Mutations.Of("forms.txt").Sample(
        body =>
        {
            var (facts, error) = FormPeek.Read(body, "x");
            return (facts is null) != (error is null);
        },
        iter: Runs);

    [Fact]
    public void FormRewrite_OnMutants_IsAFormWithoutWhatWasStripped()
    {
        var rewrite = BodyRewrite.Of(new ModelOptions { StripParams = ["language"], SetParams = new JsonObject { ["model"] = "theirs", ["temperature"] = 0.5 } })!;
        Mutations.Of("forms.txt").Sample(
            body =>
            {
                if (MultipartForm.Parts(body, "x") is not { } before)
                {
                    return true;
                }

                var output = new byte[body.Length + rewrite.GrowthOfForm("x")];
                var written = output.AsSpan(0, rewrite.ApplyToForm(body, "x", output)).ToArray();
                var after = MultipartForm.Parts(written, "x")!.Value;
                string[] expected = [.. before.Where(part => part.IsFile || part.Name is not ("language" or "model" or "temperature")).Select(part => Convert.ToHexString(body[part.Whole]))];
                return expected.SequenceEqual(after.SkipLast(2).Select(part => Convert.ToHexString(written[part.Whole]))) && after[^2..].Select(part => part.Name).SequenceEqual(["model", "temperature"]);
            },
            iter: Runs);
    }

    [Fact]
    public void EventFraming_OnMutants_CutsWholeEventsAndLosesNothing() => Mutations.Of("sse.txt").Sample(
        bytes =>
        {
            var at = 0;
            while (EventFraming.NextEvent(bytes.AsSpan(at)) is var length and > 0)
            {
                _ = EventFraming.IsComment(bytes.AsSpan(at, length));
                foreach (var dialect in Enum.GetValues<ApiDialect>())
                {
                    _ = StreamEnd.IsLast(new(dialect), bytes.AsSpan(at, length));
                    _ = StreamEnd.IsLast(new(dialect, 2, PicksFields: true), bytes.AsSpan(at, length));
                }

                _ = StreamEnd.IsError(bytes.AsSpan(at, length));
                at += length;
            }

            return at <= bytes.Length && at == WholeEvents.In(bytes);
        },
        iter: Runs);

    [Fact]
    public void TokenUsage_OnMutants_NeverGoesBelowZero() => Mutations.Of("sse.txt").Sample(
        bytes => TokenUsage.Find(bytes, null) is not { } usage || usage is { Prompt: >= 0, Cached: >= 0, Completion: >= 0 }, iter: Runs);

    [Fact]
    public void BackendRefusal_OnMutants_IsTheirBodyOrNothing() => Mutations.Of("json.txt").Sample(
        bytes => BackendRefusal.Presentable(400, bytes) is not { } body || body.AsSpan().SequenceEqual(bytes), iter: Runs);

    [Fact]
    public void Configuration_OnMutants_IsReadOrRefusedWithReasons() => Mutations.Of("configuration.txt").Sample(
        bytes =>
        {
            var loaded = ConfigurationFile.Parse("fuzz.json", Encoding.UTF8.GetString(bytes), []);
            return loaded.Options is not null && loaded.Errors.All(error => error.ToString().Length > 0);
        },
        iter: Runs / 4);

    [Fact]
    public void Upstream_OnMutants_IsAListedPathOrAnError() => Mutations.Of("paths.txt").Sample(
        bytes =>
        {
            var model = Configured.Model();
            var (call, error) = UpstreamCall.Parse(Encoding.UTF8.GetString(bytes), "GET", name => name == "m" ? model : null);
            return (call is null) != (error is null) && (call is null || (call.Path[0] == '/' && !call.Path.Contains("..", StringComparison.Ordinal) && call.Path.Length < 40));
        },
        iter: Runs);

    [Fact]
    public void Keys_OnMutants_OpenNothing()
    {
        var ring = new KeyRing([new KeyOptions { Name = "a", Hash = ApiKey.Create().Hash }]);
        Mutations.Of("paths.txt").Sample(
            bytes =>
            {
                var text = Encoding.Latin1.GetString(bytes);
                return ring.Find(text, default) is null && ring.Find("Bearer " + text, default) is null && ring.Find(default, text) is null && ring.Find(text, text) is null;
            },
            iter: Runs / 4);
    }

    [Fact]
    public void RequestId_OnMutants_IsAlwaysHarmless() => Mutations.Of("paths.txt").Sample(
        bytes => RequestId.From(Encoding.Latin1.GetString(bytes)) is { Length: >= 1 and <= 128 } id && id.All(c => char.IsAsciiLetterOrDigit(c) || "._:-".Contains(c, StringComparison.Ordinal)), iter: Runs);

    [Fact]
    public void HostGuard_OnMutants_NeverTakesWhatIsNotOurs()
    {
        var guard = new HostGuard(["gateway.example"], []);
        Mutations.Of("paths.txt").Sample(
            bytes =>
            {
                var text = Encoding.Latin1.GetString(bytes);
                var refusal = guard.Check(new HostString("evil.example"), text, text, null, checkHost: true);
                return refusal?.Status == 421 && guard.Check(new HostString("localhost"), text.Length > 0 ? text : "null", "", null, checkHost: true) is var other
                    && (other is not null || text.EndsWith("://localhost", StringComparison.OrdinalIgnoreCase) || text.Contains("localhost", StringComparison.OrdinalIgnoreCase));
            },
            iter: Runs);
    }
}
