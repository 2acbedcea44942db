using LlmGateway.Simulator.Engine;

namespace LlmGateway.Simulator.Api;

/// <summary>The sampling parameters as <c>/props</c>, <c>/slots</c> and <c>/completion</c> show them: fixed, but for the few that this program knows.</summary>
internal static class SamplingParameters
{
    /// <param name="generation">Whose parameters, or null for the defaults.</param>
    /// <param name="whole">With the members that only an answer shows.</param>
    public static string Json(Generation? generation, bool whole)
    {
        var most = generation?.MaxTokens ?? -1;
        var (format, reasoning, prompt) = generation switch
        {
            null => ("Content-only", "none", ""),
            { IsChat: true } => ("peg-native", "deepseek", "<|assistant|>\\n"),
            _ => ("Content-only", "deepseek", ""),
        };
        return $$"""
            {"seed":4294967295,"temperature":0.800000011920929,"dynatemp_range":0.0,"dynatemp_exponent":1.0,"top_k":40,"top_p":0.949999988079071,"min_p":0.05000000074505806,"top_n_sigma":-1.0,"xtc_probability":0.0,"xtc_threshold":0.10000000149011612,"typical_p":1.0,"repeat_last_n":64,"repeat_penalty":1.0,"presence_penalty":0.0,"frequency_penalty":0.0,"dry_multiplier":0.0,"dry_base":1.75,"dry_allowed_length":2,"dry_penalty_last_n":64,{{(whole ? "\"dry_sequence_breakers\":[\"\\n\",\":\",\"\\\"\",\"*\"]," : "")}}"mirostat":0,"mirostat_tau":5.0,"mirostat_eta":0.10000000149011612,"adaptive_target":-1.0,"adaptive_decay":0.8999999761581421,{{(whole ? "\"stop\":[]," : "")}}"max_tokens":{{most}},"n_predict":{{most}},"n_keep":0,"n_discard":0,"ignore_eos":false,"stream":{{(generation is { Stream: true } ? "true" : "false")}},{{(whole ? "\"logit_bias\":[]," : "")}}"n_probs":0,"min_keep":0,{{(whole ? "\"grammar\":\"\",\"grammar_lazy\":false,\"grammar_triggers\":[],\"preserved_tokens\":[]," : "")}}"chat_format":"{{format}}","reasoning_format":"{{reasoning}}","reasoning_in_content":false,"generation_prompt":"{{prompt}}","samplers":["penalties","dry","top_n_sigma","top_k","typ_p","top_p","min_p","xtc","temperature"],"speculative.types":"none","timings_per_token":false,"post_sampling_probs":false,"backend_sampling":false,"lora":[]}
            """;
    }
}
