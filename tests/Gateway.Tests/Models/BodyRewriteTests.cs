using System.Text;
using System.Text.Json.Nodes;
using CsCheck;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Tests.Models;

public sealed class BodyRewriteTests
{
    [Fact]
    public void Of_NothingConfigured_IsNone() => Assert.Null(BodyRewrite.Of(new ModelOptions()));

    [Theory]
    [InlineData("{}", "", "", "{}")]
    [InlineData(""" { "a" : 1 } """, "x", "", """{"a" : 1}""")]
    [InlineData("""{"a":1,"b":2,"c":3}""", "b", "", """{"a":1,"c":3}""")]
    [InlineData("""{"a":1,"b":2,"c":3}""", "a c", "", """{"b":2}""")]
    [InlineData("""{"a":{"b":1},"b":2}""", "b", "", """{"a":{"b":1}}""")]
    [InlineData("""{"b":[1,{"b":2}],"a":1}""", "b", "", """{"a":1}""")]
    [InlineData("""{"\u0062":2,"a":1}""", "b", "", """{"a":1}""")]
    [InlineData("""{"b":1,"b":2}""", "b", "", "{}")]
    [InlineData("{}", "", """{"t":0.5}""", """{"t":0.5}""")]
    [InlineData("""{"t":1,"a":1e2}""", "", """{"t":0.5,"k":{"deep":[null]}}""", """{"a":1e2,"t":0.5,"k":{"deep":[null]}}""")]
    [InlineData("""{"a":"\u00e9 é"}""", "", """{"n":null}""", """{"a":"\u00e9 é","n":null}""")]
    public void Apply_Members_GoAndComeAndNothingElseChanges(string body, string strip, string set, string expected) => Assert.Equal(expected, Apply(body, strip, set));

    [Fact]
    public void Apply_AnyObject_HasTheSameMembersButThese() => RandomJson.Object.Where(json => BodyPeek.Read(Encoding.UTF8.GetBytes(json)).Error is null).Sample(json =>
    {
        var text = Apply(json, "model n_predict", """{"stream":true,"max_tokens":7}""");
        var (before, after) = (Members(json), Members(text));
        return after["stream"] == "true" && after["max_tokens"] == "7" && !after.ContainsKey("model")
            && before.Where(member => member.Key is not ("model" or "n_predict" or "stream" or "max_tokens")).All(member => after[member.Key] == member.Value)
            && after.Count == before.Keys.Except(["model", "n_predict", "stream", "max_tokens"]).Count() + 2;
    });

    private static Dictionary<string, string> Members(string json)
    {
        using var document = System.Text.Json.JsonDocument.Parse(json);
        var members = new Dictionary<string, string>();
        foreach (var member in document.RootElement.EnumerateObject())
        {
            members[member.Name] = member.Value.GetRawText();
        }

        return members;
    }

    private static string Apply(string body, string strip, string set)
    {
        var rewrite = BodyRewrite.Of(new ModelOptions
        {
            StripParams = strip.Length > 0 ? strip.Split(' ') : ["never"],
            SetParams = set.Length > 0 ? JsonNode.Parse(set)!.AsObject() : [],
        })!;
        var bytes = Encoding.UTF8.GetBytes(body);
        var output = new byte[bytes.Length + rewrite.Growth];
        return Encoding.UTF8.GetString(output, 0, rewrite.Apply(bytes, output));
    }
}
