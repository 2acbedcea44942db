using System.Globalization;
using System.Text;
using System.Text.Json;
using LlmGateway.Simulator.CommandLine;
using LlmGateway.Simulator.Engine;
using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.Api;

/// <summary>What a probe or a scrape asks.</summary>
internal static class MonitoringApi
{
    public static async Task HealthAsync(Exchange exchange)
    {
        var (faults, time) = (exchange.Simulation.Faults, exchange.Simulation.Time);
        if (faults.Current.HealthDelayMs is > 0 and var delay)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(delay), time, exchange.Aborted).ConfigureAwait(false);
        }

        await exchange.HoldWhileAsync(static f => f.Health == HealthMode.Hang).ConfigureAwait(false);
        var flap = faults.Current.HealthFlapMs;
        var isBad = flap > 0 && time.GetElapsedTime(0).TotalMilliseconds / flap % 2 >= 1;
        if (faults.Current.Health == HealthMode.Error || isBad)
        {
            throw ApiException.Server("simulated failure");
        }

        await exchange.ReplyAsync("{\"status\":\"ok\"}"u8.ToArray(), "application/json; charset=utf-8").ConfigureAwait(false);
    }

    public static Task ModelsAsync(Exchange exchange)
    {
        var simulation = exchange.Simulation;
        var (id, settings) = (simulation.ModelId, simulation.Settings);
        return exchange.ReplyAsync(json =>
        {
            json.WriteStartObject();
            json.WriteStartArray("models");
            json.WriteStartObject();
            json.WriteString("name", id);
            json.WriteString("model", id);
            json.WriteString("modified_at", "");
            json.WriteString("size", "");
            json.WriteString("digest", "");
            json.WriteString("type", "model");
            json.WriteString("description", "");
            WriteStrings(json, "tags", [""]);
            WriteStrings(json, "capabilities", ["completion"]);
            json.WriteString("parameters", "");
            json.WritePropertyName("details");
            json.WriteRawValue("{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"\",\"families\":[\"\"],\"parameter_size\":\"\",\"quantization_level\":\"\"}");
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteString("object", "list");
            json.WriteStartArray("data");
            json.WriteStartObject();
            json.WriteString("id", id);
            WriteStrings(json, "aliases", simulation.Faults.Current.Alias is null && settings.Aliases.Count > 0 ? settings.Aliases : [id]);
            WriteStrings(json, "tags", []);
            json.WriteString("object", "model");
            json.WritePropertyName("architecture");
            json.WriteRawValue("{\"input_modalities\":[\"text\"],\"output_modalities\":[\"text\"]}");
            json.WriteNumber("created", simulation.UnixTime);
            json.WriteString("owned_by", "llamacpp");
            json.WriteStartObject("meta");
            json.WriteNumber("vocab_type", 1);
            json.WriteNumber("n_vocab", Tokenizer.VocabularySize);
            json.WriteNumber("n_ctx", settings.SlotContext);
            json.WriteNumber("n_ctx_train", ServerSettings.TrainedContext);
            json.WriteNumber("n_embd", 64);
            json.WriteNumber("n_params", 344384);
            json.WriteNumber("size", 689408);
            json.WriteString("ftype", "F16");
            json.WriteEndObject();
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    public static Task PropsAsync(Exchange exchange)
    {
        var (simulation, settings) = (exchange.Simulation, exchange.Simulation.Settings);
        return exchange.ReplyAsync(json =>
        {
            json.WriteStartObject();
            json.WriteStartObject("default_generation_settings");
            json.WritePropertyName("params");
            json.WriteRawValue(SamplingParameters.Json(null, whole: false), skipInputValidation: true);
            json.WriteNumber("n_ctx", settings.SlotContext);
            json.WriteEndObject();
            json.WriteNumber("total_slots", settings.SlotCount);
            json.WriteString("model_alias", simulation.ModelId);
            json.WriteString("model_ftype", "F16");
            json.WriteString("model_path", settings.Model ?? "");
            json.WritePropertyName("modalities");
            json.WriteRawValue("{\"vision\":false,\"video\":false,\"audio\":false}");
            json.WriteString("media_marker", "<__media_simulated__>");
            json.WriteBoolean("endpoint_slots", settings.Slots);
            json.WriteBoolean("endpoint_props", false);
            json.WriteBoolean("endpoint_metrics", settings.Metrics);
            json.WriteBoolean("ui", true);
            json.WritePropertyName("ui_settings");
            json.WriteRawValue("{}");
            json.WriteString("chat_template", Prompts.Template);
            json.WritePropertyName("chat_template_caps");
            json.WriteRawValue("{\"supports_object_arguments\":false,\"supports_parallel_tool_calls\":false,\"supports_preserve_reasoning\":false,\"supports_reasoning_effort\":false,\"supports_string_content\":true,\"supports_system_role\":true,\"supports_tool_calls\":false,\"supports_tools\":false,\"supports_typed_content\":false}");
            json.WriteString("bos_token", "<s>");
            json.WriteString("eos_token", "</s>");
            json.WriteString("build_info", Simulation.Build);
            json.WriteBoolean("is_sleeping", false);
            json.WriteBoolean("cors_proxy_enabled", false);
            json.WriteEndObject();
        });
    }

    public static async Task SlotsAsync(Exchange exchange)
    {
        var simulation = exchange.Simulation;
        if (!simulation.Settings.Slots)
        {
            throw ApiException.NotSupported("This server does not support slots endpoint. Start it with `--slots`");
        }

        await AskEngineAsync(exchange).ConfigureAwait(false);
        var idle = 0;
        var body = Exchange.Json(json =>
        {
            json.WriteStartArray();
            simulation.Slots.Visit(slot =>
            {
                idle += slot.IsBusy ? 0 : 1;
                WriteSlot(json, slot, simulation.Settings);
            });
            json.WriteEndArray();
        });
        if (idle == 0 && exchange.Http.Request.Query.ContainsKey("fail_on_no_slot"))
        {
            throw new ApiException(503, "unavailable_error", "no slot available");
        }

        await exchange.ReplyAsync(body, "application/json; charset=utf-8").ConfigureAwait(false);
    }

    public static async Task MetricsAsync(Exchange exchange)
    {
        var simulation = exchange.Simulation;
        if (!simulation.Settings.Metrics)
        {
            throw ApiException.NotSupported("This server does not support metrics endpoint. Start it with `--metrics`");
        }

        await AskEngineAsync(exchange).ConfigureAwait(false);
        var totals = simulation.Counters.Read();
        var (deferred, _, processing) = simulation.Slots.Load;
        var text = new StringBuilder(3000);
        Counter("prompt_tokens_total", "Number of prompt tokens processed, excluding cached tokens", totals.PromptTokens);
        Counter("prompt_tokens_cached_total", "Number of prompt tokens reused from the cache", totals.PromptTokensCached);
        Counter("prompt_seconds_total", "Total time spent processing prompts", totals.PromptMilliseconds / 1000);
        Counter("tokens_predicted_total", "Number of generation tokens processed", totals.Predicted);
        Counter("tokens_predicted_seconds_total", "Total time spent generating tokens", totals.PredictedMilliseconds / 1000);
        Counter("n_decode_total", "Total number of llama_decode() calls, excluding speculative decoding and multimodal decoding", totals.Decodes);
        Counter("n_tokens_max", "Largest observed sequence length (prompt + generation)", totals.MostTokens);
        Counter("spec_decode_num_draft_tokens_total", "Speculative: Total draft tokens generated", 0);
        Counter("spec_decode_num_accepted_tokens_total", "Speculative: Total draft tokens accepted by the target model", 0);
        Counter("spec_decode_num_drafts_total", "Speculative: Total speculative decoding verification steps", 0);
        Gauge("prompt_tokens_seconds", "Average prompt throughput in tokens/s", Rate(totals.PromptTokens, totals.PromptMilliseconds));
        Gauge("predicted_tokens_seconds", "Average generation throughput in tokens/s", Rate(totals.Predicted, totals.PredictedMilliseconds));
        Gauge("requests_processing", "Number of requests processing", processing);
        Gauge("requests_deferred", "Number of requests deferred", deferred);
        Gauge("n_busy_slots_per_decode", "Average number of busy slots per llama_decode() call", totals.Decodes == 0 ? 0 : (double)totals.BusySlots / totals.Decodes);
        await exchange.ReplyAsync(Encoding.UTF8.GetBytes(text.ToString()), "text/plain; version=0.0.4").ConfigureAwait(false);

        void Counter(string name, string help, double value) => Line("counter", name, help, value);

        void Gauge(string name, string help, double value) => Line("gauge", name, help, value);

        void Line(string type, string name, string help, double value) => text.Append(
            CultureInfo.InvariantCulture,
            $"# HELP llamacpp:{name} {help}\n# TYPE llamacpp:{name} {type}\nllamacpp:{name} {value}\n");

        static double Rate(long tokens, double milliseconds) => milliseconds > 0 ? tokens * 1000 / milliseconds : 0;
    }

    public static Task LoraAdaptersAsync(Exchange exchange) => exchange.ReplyAsync("[]"u8.ToArray(), "application/json; charset=utf-8");

    // Both questions go through the engine's loop: they hang when it is stuck, and pass the queue on which silent answers wait.
    private static Task AskEngineAsync(Exchange exchange)
    {
        exchange.Simulation.Decoder.TouchResults();
        return exchange.HoldWhileAsync(static f => f.Engine == EngineMode.Stuck);
    }

    private static void WriteSlot(Utf8JsonWriter json, Slot slot, ServerSettings settings)
    {
        var (current, known) = (slot.Current, slot.Current ?? slot.Last);
        json.WriteStartObject();
        json.WriteNumber("id", slot.Id);
        json.WriteNumber("n_ctx", settings.SlotContext);
        json.WriteBoolean("speculative", false);
        json.WriteBoolean("is_processing", slot.IsBusy);
        if (known is not null)
        {
            // Counts of the prompt appear when its batch is done; an idle slot shows what it holds.
            json.WriteNumber("id_task", known.TaskId);
            json.WriteNumber("n_prompt_tokens", current is { EvaluatedTokens: 0 } ? 0 : slot.Held.Count);
            json.WriteNumber("n_prompt_tokens_processed", current?.EvaluatedTokens ?? 0);
            json.WriteNumber("n_prompt_tokens_cache", current is { EvaluatedTokens: > 0 } ? current.CachedTokens : 0);
            json.WritePropertyName("params");
            json.WriteRawValue(SamplingParameters.Json(known, whole: false), skipInputValidation: true);
            json.WriteStartArray("next_token");
            json.WriteStartObject();
            json.WriteBoolean("has_next_token", current is not null);
            json.WriteBoolean("has_new_line", false);
            json.WriteNumber("n_remain", current is { MaxTokens: > 0 } ? current.MaxTokens - current.Predicted : -1);
            json.WriteNumber("n_decoded", current?.Predicted ?? 0);
            json.WriteEndObject();
            json.WriteEndArray();
        }

        json.WriteEndObject();
    }

    private static void WriteStrings(Utf8JsonWriter json, string name, IReadOnlyList<string> values)
    {
        json.WriteStartArray(name);
        foreach (var value in values)
        {
            json.WriteStringValue(value);
        }

        json.WriteEndArray();
    }
}
