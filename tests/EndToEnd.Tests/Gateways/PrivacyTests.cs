using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using LlmGateway.TestKit;
using LlmGateway.TestKit.Gateways;

namespace LlmGateway.EndToEnd.Tests.Gateways;

/// <summary>
/// Canaries: texts that occur nowhere else are sent as prompts, keys, model names, headers and paths, on roads that end well and on roads that don't.
/// Then everything that the gateway has written or shows is searched for them.
/// </summary>
public sealed class PrivacyTests
{
    private const string Prompt = "canary-prompt-5f1c9e";
    private const string Secret = "sk-canary-secret-8a2d41";
    private const string WrongSecret = "sk-canary-wrong-77e0b3";
    private const string Name = "canary-name-c60d12";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120_000)]
    public Task Canaries_ThroughTheSimulator_AreFoundNowhere() => HuntAsync("""{ "Kind": "simulator", "Slots": 2, "Args": ["--sim-token-rate", "200"] }""", hasFaults: true);

    [Fact(Timeout = 120_000)]
    [Trait("Suite", "Real")]
    public Task Canaries_ThroughTheRealServer_AreFoundNowhere()
    {
        RealServer.SkipIfAbsent();
        return HuntAsync($$"""{ "Executable": "{{RealServer.Executable}}", "Args": ["-m", "{{RealServer.TinyModel}}", "-c", "4096"], "Slots": 2 }""", hasFaults: false);
    }

    private static async Task HuntAsync(string model, bool hasFaults)
    {
        using var temporary = new TemporaryFolder();
        await using var gateway = await GatewayProcess.StartAsync(
            $$"""
            { "Keys": [ { "Name": "k", "Hash": "sha256:{{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Secret)))}}" } ],
              "Models": { "m": {{model}} } }
            """,
            Ct,
            new Dictionary<string, string?> { ["TMPDIR"] = temporary.Path });
        await gateway.UntilReadyAsync(Ct);
        using var client = gateway.WithKey(Secret);
        var errors = new StringBuilder();
        foreach (var pid in (await gateway.StatusAsync(Ct)).Replicas.Select(replica => replica.Pid!.Value).Append(gateway.Process.Id))
        {
            Assert.Matches(@"Max core file size +1 +1 ", await File.ReadAllTextAsync($"/proc/{pid}/limits", Ct));
        }

        var completions = await SayAsync(gateway, client, errors);
        if (hasFaults)
        {
            await BreakAsync(gateway, errors);
        }

        string[] canaries = [Prompt, Secret, WrongSecret, Name, .. completions];
        var shown = await ShownAsync(gateway);
        shown["the errors that clients got"] = errors.ToString();
        shown["its output"] = gateway.Output;
        foreach (var (file, text) in Files(Path.GetDirectoryName(gateway.TokenFile)!).Concat(Files(temporary.Path)))
        {
            shown[file] = text;
        }

        Assert.All(canaries, canary => Assert.All(shown, place => Assert.False(place.Value.Contains(canary, StringComparison.OrdinalIgnoreCase), $"{canary} is in {place.Key}")));
    }

    /// <summary>Sends canaries on all roads that need no fault; what the model said to them comes back.</summary>
    private static async Task<List<string>> SayAsync(GatewayProcess gateway, HttpClient client, StringBuilder errors)
    {
        var completions = new List<string>();
        foreach (var (path, body) in new (string, string)[]
        {
            ("v1/chat/completions", $$"""{"model":"m","max_tokens":24,"messages":[{"role":"user","content":"{{Prompt}}"}]}"""),
            ("v1/chat/completions", $$"""{"model":"m","max_tokens":24,"stream":true,"messages":[{"role":"user","content":"{{Prompt}}"}]}"""),
            ("v1/messages", $$"""{"model":"m","max_tokens":24,"messages":[{"role":"user","content":"{{Prompt}}"}]}"""),
            ("v1/responses", $$"""{"model":"m","max_output_tokens":24,"input":"{{Prompt}}"}"""),
            ("completion", $$"""{"model":"m","n_predict":24,"prompt":"{{Prompt}}"}"""),
            ("tokenize", $$"""{"model":"m","content":"{{Prompt}}"}"""),
        })
        {
            using var content = new StringContent(body);
            using var answer = await client.PostAsync(new Uri(path, UriKind.Relative), content, Ct);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            completions.AddRange(TextsOf(await answer.Content.ReadAsStringAsync(Ct)));
        }

        foreach (var (path, body, header) in new (string, string, string?)[]
        {
            ("v1/chat/completions", $$"""{"model":"{{Name}}","messages":[{"role":"user","content":"{{Prompt}}"}]}""", null),
            ("v1/chat/completions", $$"""{"model":"m","messages":"{{Prompt}}""", null),
            ("v1/chat/completions", $$"""{"model":"m","n":"{{Prompt}}"}""", null),
            ("v1/chat/completions", $$"""{"model":"m","{{Name}}":1,"{{Name}}":2,"n":-1}""", null),
            ("v1/messages", $$"""{"model":["{{Name}}"]}""", null),
            ($"v1/{Name}?q={Prompt}", "{}", null),
            ("v1/chat/completions", """{"model":"m"}""", "x-llmgateway-priority"),
            ("v1/chat/completions", """{"model":"m"}""", "x-llmgateway-timeout-ms"),
            ("v1/chat/completions", """{"model":"m"}""", "Content-Encoding"),
            ("v1/chat/completions", """{"model":"m"}""", "Host"),
            ("v1/chat/completions", """{"model":"m"}""", "Origin"),
            ("v1/chat/completions", """{"model":"m"}""", "Upgrade"),
        })
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new StringContent(body) };
            _ = header is not null && (header == "Content-Encoding" ? request.Content.Headers.TryAddWithoutValidation(header, Name) : request.Headers.TryAddWithoutValidation(header, Name));
            using var answer = await client.SendAsync(request, Ct);
            Assert.InRange((int)answer.StatusCode, 400, 499);
            errors.Append(await answer.Content.ReadAsStringAsync(Ct));
        }

        using var stranger = gateway.WithKey(WrongSecret);
        using var refused = await stranger.PostAsJsonAsync("v1/chat/completions", Conversation.ChatBody("m", 1, stream: false), Ct);
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        errors.Append(await refused.Content.ReadAsStringAsync(Ct));
        return completions;
    }

    /// <summary>The same with a backend that fails, breaks and dies.</summary>
    private static async Task BreakAsync(GatewayProcess gateway, StringBuilder errors)
    {
        var simulator = (await gateway.SimulatorsAsync(Ct))[0];
        var body = JsonNode.Parse($$"""{"model":"m","max_tokens":24,"stream":true,"messages":[{"role":"user","content":"{{Prompt}}"}]}""")!;
        foreach (var fault in new object[] { new { dropAfterTokens = 2 }, new { dropAfterTokens = 0 } })
        {
            await simulator.SetFaultsAsync(fault, Ct);

            // A client of its own: the gateway closes the connection behind a broken stream, and a pooled one would race with that.
            using var client = gateway.WithKey(Secret);
            using var answer = await client.StreamAsync("v1/chat/completions", body, Ct);
            await answer.ReadToEndAsync(Ct);
            errors.Append(answer.Events.LastOrDefault(text => text.Contains("error", StringComparison.Ordinal)));
        }

        await simulator.ClearFaultsAsync(Ct);
    }

    /// <summary>What the management listener shows.</summary>
    private static async Task<Dictionary<string, string>> ShownAsync(GatewayProcess gateway)
    {
        var shown = new Dictionary<string, string>();
        foreach (var path in new[] { "metrics", "api/status", "api/replicas/m/0/logs?tail=1000" })
        {
            shown[path] = await gateway.Management.GetStringAsync(new Uri(path, UriKind.Relative), Ct);
        }

        using var request = new HttpRequestMessage(HttpMethod.Get, "api/events");
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("text/event-stream"));
        request.Headers.Add("Last-Event-ID", "0");
        using var events = await gateway.Management.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Ct);
        using var reader = new StreamReader(await events.Content.ReadAsStreamAsync(Ct));
        var first = new char[64 * 1024];
        shown["api/events"] = new string(first, 0, await reader.ReadAsync(first, Ct));
        return shown;
    }

    /// <summary>The longer words of an answer, as many as a search needs.</summary>
    private static IEnumerable<string> TextsOf(string answer)
    {
        var text = new StringBuilder();
        foreach (var json in answer.Split('\n').Select(line => line.StartsWith("data: {", StringComparison.Ordinal) ? line["data: ".Length..] : line).Where(line => line.StartsWith('{')))
        {
            Collect(JsonNode.Parse(json), text);
        }

        // A run of words: single ones are English and stand in log lines, too.
        return text.Length >= 40 ? [text.ToString(text.Length - 40, 40)] : [];
    }

    private static void Collect(JsonNode? node, StringBuilder text)
    {
        switch (node)
        {
            case JsonObject members:
                foreach (var (name, value) in members)
                {
                    if (name is "content" or "text" && value is JsonValue leaf && leaf.TryGetValue(out string? piece))
                    {
                        text.Append(piece);
                    }

                    Collect(value, text);
                }

                break;
            case JsonArray items:
                foreach (var item in items)
                {
                    Collect(item, text);
                }

                break;
        }
    }

    /// <summary>Names and contents of all files that have any: pipes and sockets have none.</summary>
    private static IEnumerable<(string File, string Text)> Files(string folder) =>
        new DirectoryInfo(folder).EnumerateFiles("*", SearchOption.AllDirectories).Select(file => (file.FullName, file.Name + (file.Length > 0 ? ReadOrNothing(file.FullName) : "")));

    private static string ReadOrNothing(string file)
    {
        try
        {
            using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            using var reader = new StreamReader(stream, Encoding.Latin1);
            return reader.ReadToEnd();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}
