using System.Text;
using System.Text.Json;
using CsCheck;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Tests.Requests;

public sealed class BodyPeekTests
{
    [Theory]
    [InlineData("""{}""", null, false, 1, 1, null)]
    [InlineData("""{"model":"m","stream":true}""", "m", true, 1, 1, null)]
    [InlineData(""" { "stream" : false , "model" : null } """, null, false, 1, 1, null)]
    [InlineData("""{"\u006dodel":"m","s\u0074ream":true}""", "m", true, 1, 1, null)]
    [InlineData("""{"model":"\u006d"}""", "m", false, 1, 1, null)]
    [InlineData("""{"messages":[{"model":"other","stream":true,"n":-5}],"model":"m"}""", "m", false, 1, 1, null)]
    [InlineData("""{"n":3}""", null, false, 3, 1, null)]
    [InlineData("""{"n":null,"max_tokens":null}""", null, false, 1, 1, null)]
    [InlineData("""{"n_cmpl":4,"n":1}""", null, false, 4, 1, null)]
    [InlineData("""{"n":1,"n_cmpl":4}""", null, false, 4, 1, null)]
    [InlineData("""{"max_tokens":5}""", null, false, 1, 1, 5)]
    [InlineData("""{"n_predict":-1}""", null, false, 1, 1, -1)]
    [InlineData("""{"prompt":"a"}""", null, false, 1, 1, null)]
    [InlineData("""{"prompt":["a","b"]}""", null, false, 1, 2, null)]
    [InlineData("""{"prompt":[]}""", null, false, 1, 1, null)]
    [InlineData("""{"prompt":[1,2,3]}""", null, false, 1, 1, null)]
    [InlineData("""{"prompt":[[1,2],[3],[]]}""", null, false, 1, 3, null)]
    [InlineData("""{"prompt":[12,"text",34]}""", null, false, 1, 1, null)]
    [InlineData("""{"prompt":["text",34]}""", null, false, 1, 1, null)]
    [InlineData("""{"prompt":[{"prompt_string":"a"},{"prompt_string":"b"}]}""", null, false, 1, 2, null)]
    [InlineData("""{"input":["a","b","c"],"content":["a"]}""", null, false, 1, 3, null)]
    [InlineData("""{"content":["a"],"input":["a","b","c"]}""", null, false, 1, 3, null)]
    [InlineData("""{"texts":["a","b"]}""", null, false, 1, 2, null)]
    [InlineData("""{"input":[{"role":"user"},{"role":"assistant"}]}""", null, false, 1, 2, null)]
    [InlineData("""{"input":["a","b","c"]}""", null, false, 1, 3, null)]
    [InlineData("""{"documents":[{"text":"a"},{"text":"b"}]}""", null, false, 1, 2, null)]
    [InlineData("""{"documents":[]}""", null, false, 1, 1, null)]
    [InlineData("""{"Model":"m","STREAM":true}""", null, false, 1, 1, null)]
    [InlineData("""{"logprobs":true,"stop":"x","grammar":"root ::= x","response_format":{"type":"text"}}""", null, false, 1, 1, null)]
    [InlineData("""{"logprobs":5,"stop":["a","b"],"id_slot":-1}""", null, false, 1, 1, null)]
    [InlineData("""{"logprobs":null,"stop":null}""", null, false, 1, 1, null)]
    public void Read_ProperBody_FindsWhatMatters(string json, string? model, bool stream, int choices, int items, int? maxTokens)
    {
        var (facts, error) = Read(json);
        Assert.Null(error);
        Assert.Equal(new BodyFacts { Model = model, Stream = stream, Choices = choices, Items = items, MaxTokens = maxTokens }, facts! with { OwnChoices = null, Prompts = 1 });
    }

    // As llama-server was seen to end them, one by one.
    [Theory]
    [InlineData("""{"prompt":"a"}""", 1)]
    [InlineData("""{"prompt":["a","b"]}""", 2)]
    [InlineData("""{"prompt":"a","n":2}""", 2)]
    [InlineData("""{"prompt":"a","n_cmpl":2}""", 2)]
    [InlineData("""{"prompt":"a","n_cmpl":1,"n":2}""", 1)]
    [InlineData("""{"prompt":"a","n":2,"n_cmpl":1}""", 1)]
    [InlineData("""{"prompt":["a","b"],"n":2}""", 4)]
    [InlineData("""{"prompt":[[1,2],[3],"x"]}""", 3)]
    [InlineData("""{"prompt":[1,"x",3]}""", 1)]
    [InlineData("""{"prompt":["x",1,3]}""", 1)]
    [InlineData("""{"prompt":[{"prompt_string":"a"},{"prompt_string":"b"}]}""", 2)]
    [InlineData("""{"prompt":{"prompt_string":"a"}}""", 1)]
    [InlineData("""{"prompt":"a","input":["b","c"]}""", 1)]
    public void Ends_OfAListOfPrompts_AreOneForEachAnswer(string json, int ends) => Assert.Equal(ends, Read(json).Facts!.Ends(FanOut.Prompts));

    [Theory]
    [InlineData("""{"response_fields":["content"]}""", true)]
    [InlineData("""{"response_fields":null}""", false)]
    [InlineData("{}", false)]
    public void PicksFields_IsWhenTheyAreNamed(string json, bool picks) => Assert.Equal(picks, Read(json).Facts!.PicksFields);

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("\"model\"")]
    [InlineData("{} {}")]
    [InlineData("{}x")]
    [InlineData("{\"a\":1,}")]
    [InlineData("{/**/}")]
    [InlineData("{\"model\":\"a\",\"model\":\"b\"}")]
    [InlineData("{\"model\":\"a\",\"\\u006dodel\":\"b\"}")]
    [InlineData("{\"stream\":true,\"stream\":true}")]
    [InlineData("{\"n\":1,\"n\":2}")]
    [InlineData("{\"prompt\":\"a\",\"prompt\":[\"a\",\"b\"]}")]
    [InlineData("{\"model\":\"\\ud800\"}")]
    [InlineData("{\"\\ud800\":1}")]
    [InlineData("\uFEFF{}")]
    [InlineData("{\"n\":NaN}")]
    [InlineData("{\"n\":01}")]
    public void Read_MalformedBody_IsInvalidJson(string json) => Assert.Equal((400, "invalid_json"), Refusal(json));

    public static TheoryData<string> BoundedNames => [.. new[]
    {
        "n", "best_of", "max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "n_keep", "n_discard", "n_probs", "top_logprobs", "min_keep",
        "id_slot", "n_indent", "n_cmpl", "repeat_last_n", "dry_penalty_last_n", "t_max_predict_ms", "t_max_prompt_ms",
    }];

    [Theory]
    [MemberData(nameof(BoundedNames))]
    public void Read_HostileNumber_IsInvalidParameterHoweverTheNameIsWritten(string name)
    {
        foreach (var value in new[] { "-2", "1000000000", "1e9", "1.5", "-1e400", "\"1\"", "true", "[]", "{}", "[1]", "-9223372036854775809", "99999999999999999999999" })
        {
            foreach (var mask in new[] { 0, int.MaxValue, 0b0101_0101 })
            {
                var (facts, error) = Read($$"""{"model":"m",{{RandomJson.Escaped(name, mask)}}:{{value}}}""");
                Assert.Null(facts);
                Assert.Equal((400, "invalid_parameter", name), (error!.Status, error.Code, error.Param));
            }
        }
    }

    [Theory]
    [InlineData("""{"model":1}""", "model")]
    [InlineData("""{"model":["m"]}""", "model")]
    [InlineData("""{"model":{"a":1}}""", "model")]
    [InlineData("""{"stream":1}""", "stream")]
    [InlineData("""{"stream":"true"}""", "stream")]
    [InlineData("""{"n":0}""", "n")]
    [InlineData("""{"n_discard":-1}""", "n_discard")]
    public void Read_WrongType_IsInvalidParameter(string json, string param)
    {
        Assert.Equal((400, "invalid_parameter"), Refusal(json));
        Assert.Equal(param, Read(json).Error!.Param);
    }

    [Theory]
    [InlineData("logprobs", "-1")]
    [InlineData("logprobs", "1e9")]
    [InlineData("logprobs", "1.5")]
    [InlineData("logprobs", "\"yes\"")]
    public void Read_Logprobs_AreYesNoOrASmallNumber(string name, string value) =>
        Assert.Equal(("invalid_parameter", name), (Read($$"""{"{{name}}":{{value}}}""").Error?.Code, Read($$"""{"{{name}}":{{value}}}""").Error?.Param));

    [Theory]
    [InlineData("stop", 256, true)]
    [InlineData("stop", 257, false)]
    [InlineData("stop_sequences", 257, false)]
    public void Read_Stops_AreBoundedInNumber(string name, int count, bool isFine) =>
        Assert.Equal(isFine ? null : name, Read($$"""{"{{name}}":[{{string.Join(',', Enumerable.Repeat("\"a\"", count))}}]}""").Error?.Param);

    [Theory]
    [InlineData("grammar")]
    [InlineData("json_schema")]
    [InlineData("response_format")]
    public void Read_GrammarOrSchema_IsBoundedInSize(string name)
    {
        Assert.Null(Read($$"""{"{{name}}":"{{new string('x', 256 * 1024 - 2)}}"}""").Error);
        Assert.Equal(("invalid_parameter", name), (Read($$"""{"{{name}}":"{{new string('x', 256 * 1024 - 1)}}"}""").Error?.Code, Read($$"""{"{{name}}":["{{new string('x', 256 * 1024)}}"]}""").Error?.Param));
    }

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://10.0.0.1/"}}]}]}""", true)]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"\u0075rl":"\u0068ttp://10.0.0.1/"}}]}]}""", true)]
    [InlineData("""{"messages":[{"content":[{"type":"image","source":{"type":"url","url":"file:///etc/passwd"}}]},{"content":"a"}],"model":"m"}""", true)]
    [InlineData("""{"input":[{"content":[{"type":"input_image","image_url":"https://x"}]}]}""", true)]
    [InlineData("""{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}""", false)]
    [InlineData("""{"messages":[{"content":"see http://x, url"}],"tools":[{"function":{"parameters":{"properties":{"url":{"type":"string"}}}}}]}""", false)]
    [InlineData("""{"messages":"url","input":["url","http://x"]}""", false)]
    public void Read_MediaByAddress_IsNoticedHoweverItIsWritten(string json, bool isNamed)
    {
        Assert.Equal(isNamed, Read(json).Facts!.NamesRemoteMedia);
        Assert.Equal(json.Contains("\"model\"", StringComparison.Ordinal) ? "m" : null, Read(json).Facts!.Model);
    }

    [Theory]
    [InlineData("""{"id_slot":0}""", true)]
    [InlineData("""{"id_slot":3}""", true)]
    [InlineData("""{"id_slot":-1}""", false)]
    [InlineData("""{}""", false)]
    public void Read_SlotByItsNumber_IsNoticed(string json, bool pins) => Assert.Equal(pins, Read(json).Facts!.PinsSlot);

    [Theory]
    [InlineData(63, true)]
    [InlineData(64, false)]
    public void Read_Nesting_IsBounded(int arrays, bool isFine) =>
        Assert.Equal(isFine, Read($$"""{"a":{{new string('[', arrays)}}{{new string(']', arrays)}}}""").Error is null);

    [Fact]
    public void Read_TenThousandLevels_IsRefused() => Assert.Equal((400, "invalid_json"), Refusal("{\"a\":" + new string('[', 10_000)));

    [Fact]
    public void Read_BytesThatAreNotUtf8InANameOrTheModel_IsInvalidJson()
    {
        foreach (var bad in new byte[][] { [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xE2, 0x82] })
        {
            byte[] model = [.. "{\"model\":\""u8, .. bad, .. "\"}"u8];
            byte[] name = [.. "{\""u8, .. bad, .. "\":1}"u8];
            Assert.Equal("invalid_json", BodyPeek.Read(model).Error?.Code);
            Assert.Equal("invalid_json", BodyPeek.Read(name).Error?.Code);
        }
    }

    [Fact]
    public void Read_NameLongerThanAnyThatMatters_IsSkipped()
    {
        foreach (var length in new[] { 191, 192, 193, 100_000 })
        {
            Assert.Equal("m", Read($$"""{"{{new string('x', length)}}":-5,"{{string.Concat(Enumerable.Repeat("\\u0078", length))}}":-5,"model":"m"}""").Facts?.Model);
        }
    }

    [Fact]
    public void Read_BodyOf32MiB_FindsTheModelBehindIt()
    {
        var body = new byte[32 << 20];
        body.AsSpan().Fill((byte)'x');
        "{\"prompt\":\""u8.CopyTo(body);
        "\",\"model\":\"m\"}"u8.CopyTo(body.AsSpan(body.Length - 14));
        Assert.Equal("m", BodyPeek.Read(body).Facts?.Model);
    }

    [Fact]
    public void Read_AnyBytes_NeverThrows() => Gen.Byte.Array[0, 200].Sample(bytes =>
    {
        var (facts, error) = BodyPeek.Read(bytes);
        return (facts is null) != (error is null);
    });

    [Fact]
    public void Read_JsonWithOneByteChanged_NeverThrows() => Gen.Select(RandomJson.Object, Gen.Int[0, 10_000], Gen.Byte).Sample((json, at, value) =>
    {
        var bytes = Encoding.UTF8.GetBytes(json);
        bytes[at % bytes.Length] = value;
        var (facts, error) = BodyPeek.Read(bytes);
        return (facts is null) != (error is null);
    });

    [Fact]
    public void Read_RandomObject_AgreesWithJsonDocument() => RandomJson.Object.Sample(json =>
    {
        var (facts, error) = Read(json);
        using var document = JsonDocument.Parse(json);
        if (error is { Code: "invalid_json" })
        {
            // Only what a document reader takes although two readers could understand it differently.
            return HasDuplicateOrBrokenText(document.RootElement);
        }

        if (error is not null)
        {
            return document.RootElement.EnumerateObject().Any(member => member.Name == error.Param);
        }

        var model = document.RootElement.TryGetProperty("model", out var name) ? name.GetString() : null;
        var stream = document.RootElement.TryGetProperty("stream", out var flag) && flag.ValueKind == JsonValueKind.True;
        return (facts!.Model, facts.Stream) == (model, stream) && facts is { Choices: >= 1, Items: >= 1 };
    });

    [Theory]
    [InlineData(FanOut.None, 1)]
    [InlineData(FanOut.Choices, 3)]
    [InlineData(FanOut.Prompts, 12)]
    [InlineData(FanOut.Inputs, 4)]
    [InlineData(FanOut.Documents, 4)]
    public void FanOut_ByEndpoint_CountsWhatRunsAtOnce(object fanOut, int slots) => Assert.Equal(slots, new BodyFacts { Choices = 3, Items = 4 }.FanOut((FanOut)fanOut));

    [Fact]
    public void FanOut_Huge_DoesNotOverflow() =>
        Assert.Equal(int.MaxValue, new BodyFacts { Choices = 1024, Items = int.MaxValue }.FanOut(FanOut.Prompts));

    private static bool HasDuplicateOrBrokenText(JsonElement root)
    {
        var names = new HashSet<string>();
        try
        {
            foreach (var member in root.EnumerateObject())
            {
                if (!names.Add(member.Name) || (member.Name == "model" && member.Value.GetString() is null && member.Value.ValueKind != JsonValueKind.Null))
                {
                    return true;
                }
            }

            return false;
        }
        catch (InvalidOperationException)
        {
            return true;
        }
    }

    private static (BodyFacts? Facts, ApiError? Error) Read(string json) => BodyPeek.Read(Encoding.UTF8.GetBytes(json));

    private static (int Status, string? Code) Refusal(string json) => Read(json).Error is { } error ? (error.Status, error.Code) : default;
}
