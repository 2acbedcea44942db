namespace LlmGateway.Simulator.Api;

/// <summary>Every path that is served; anything else is 404, a wrong method too.</summary>
internal static class Routes
{
    public static Dictionary<(string Method, string Path), Func<Exchange, Task>> All()
    {
        var routes = new Dictionary<(string, string), Func<Exchange, Task>>();
        Get(MonitoringApi.HealthAsync, "/health", "/v1/health");
        Get(MonitoringApi.ModelsAsync, "/models", "/v1/models");
        Get(MonitoringApi.PropsAsync, "/props");
        Get(MonitoringApi.SlotsAsync, "/slots");
        Get(MonitoringApi.MetricsAsync, "/metrics");
        Get(MonitoringApi.LoraAdaptersAsync, "/lora-adapters");
        Get(_ => throw ApiException.Disabled(), "/tools", "/cors-proxy");
        Post(_ => throw ApiException.NotSupported("This server does not support changing global properties. Start it with `--props`"), "/props");
        Post(_ => throw ApiException.NotSupported("This server does not support slots action. Start it with `--slot-save-path`"), "/slots/0", "/slots/1");

        Inference(ChatApi.CompleteAsync, "/v1/chat/completions", "/chat/completions");
        Inference(CompletionApi.CompleteOpenAiAsync, "/v1/completions");
        Inference(CompletionApi.CompleteNativeAsync, "/completion", "/completions");
        Inference(CompletionApi.InfillAsync, "/infill");
        Inference(ResponsesApi.CreateAsync, "/v1/responses", "/responses");
        Inference(MessagesApi.CreateAsync, "/v1/messages");
        Inference(EmbeddingApi.EmbedOpenAiAsync, "/v1/embeddings");
        Inference(EmbeddingApi.EmbedNativeAsync, "/embedding", "/embeddings");
        Inference(EmbeddingApi.RerankAsync, "/rerank", "/reranking", "/v1/rerank", "/v1/reranking");

        Text(MessagesApi.CountAsync, "/v1/messages/count_tokens");
        Text(ChatApi.CountAsync, "/v1/chat/completions/input_tokens", "/chat/completions/input_tokens");
        Text(ResponsesApi.CountAsync, "/v1/responses/input_tokens", "/responses/input_tokens");
        Text(TokenApi.TokenizeAsync, "/tokenize");
        Text(TokenApi.DetokenizeAsync, "/detokenize");
        Text(TokenApi.ApplyTemplateAsync, "/apply-template");
        return routes;

        void Get(Func<Exchange, Task> handler, params ReadOnlySpan<string> paths)
        {
            foreach (var path in paths)
            {
                routes[("GET", path)] = handler;
            }
        }

        void Post(Func<Exchange, Task> handler, params ReadOnlySpan<string> paths)
        {
            foreach (var path in paths)
            {
                routes[("POST", path)] = handler;
            }
        }

        void Inference(Func<Exchange, Task> handler, params ReadOnlySpan<string> paths) => Post(e => InferenceEndpoint.HandleAsync(e, handler), paths);

        void Text(Func<Exchange, Task> handler, params ReadOnlySpan<string> paths) => Post(
            async e =>
            {
                e.ParseBody(await e.ReadBodyAsync().ConfigureAwait(false));
                await handler(e).ConfigureAwait(false);
            },
            paths);
    }
}
