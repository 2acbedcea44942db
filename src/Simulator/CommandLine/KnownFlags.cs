namespace LlmGateway.Simulator.CommandLine;

/// <summary>Flags of llama-server that change nothing here: accepted, so that a real command line starts.</summary>
internal static class KnownFlags
{
    private const string SwitchNames = """
        -cl --cache-list --swa-full --perf --no-perf -e --escape --no-escape -kvo --kv-offload -nkvo --no-kv-offload --repack -nr --no-repack
        --no-host -cmoe --cpu-moe --check-tensors --op-offload --no-op-offload --log-disable --log-jsonl --no-log-jsonl --offline --log-prefix
        --no-log-prefix --log-timestamps --no-log-timestamps --ignore-eos -bs --backend-sampling -kvu --kv-unified -no-kvu --no-kv-unified
        --cache-idle-slots --no-cache-idle-slots --context-shift --no-context-shift -sp --special --warmup --no-warmup --spm-infill -cb
        --cont-batching -nocb --no-cont-batching --mmproj-auto --no-mmproj --no-mmproj-auto --mmproj-offload --no-mmproj-offload
        --cors-credentials --no-cors-credentials --ui --webui --no-ui --no-webui --props --jinja --no-jinja --reasoning-preserve
        --no-reasoning-preserve --skip-chat-parsing --no-skip-chat-parsing --prefill-assistant --no-prefill-assistant --lora-init-without-apply
        """;

    private const string ValuedNames = """
        -t --threads -tb --threads-batch -C --cpu-mask -Cr --cpu-range --cpu-strict --prio --poll -Cb --cpu-mask-batch -Crb --cpu-range-batch
        --cpu-strict-batch --prio-batch --poll-batch --keep -fa --flash-attn --rope-scaling --rope-scale --rope-freq-base --rope-freq-scale
        --yarn-orig-ctx --yarn-ext-factor --yarn-attn-factor --yarn-beta-slow --yarn-beta-fast -ctk --cache-type-k -ctv --cache-type-v -dt
        --defrag-thold -lm --load-mode -lzm --lazy-mode --numa -dev --device -ot --override-tensor -ncmoe --n-cpu-moe --moe-cache-mib -ncffn
        --n-cpu-ffn -ngl --gpu-layers --n-gpu-layers -sm --split-mode -ts --tensor-split -mg --main-gpu -fit --fit -fitt --fit-target -fitc
        --fit-ctx --override-kv --lora --lora-scaled -mu --model-url -hf -hfr --hf-repo -hff --hf-file -hft --hf-token --log-file --log-colors
        --samplers -s --seed --sampler-seq --sampling-seq --temp --temperature --top-k --top-p --min-p --top-nsigma --top-n-sigma
        --xtc-probability --xtc-threshold --typical --typical-p --repeat-last-n --repeat-penalty --presence-penalty --frequency-penalty
        --dry-multiplier --dry-base --dry-allowed-length --dry-penalty-last-n --dry-sequence-breaker --dynatemp-range --dynatemp-exp --mirostat
        --mirostat-lr --mirostat-ent -l --logit-bias --grammar --grammar-file -j --json-schema -jf --json-schema-file -md --model-draft
        --spec-draft-model --draft --draft-n --draft-max --draft-min --draft-n-min --spec-type -ctxcp --ctx-checkpoints --swa-checkpoints -cms
        --checkpoint-min-step -r --reverse-prompt --pooling -mm --mmproj -mmu --mmproj-url --tags --embd-normalize --path --cors-origins
        --cors-methods --cors-headers --api-prefix --chat-template-kwargs -to --timeout --threads-http --cache-reuse --slot-save-path
        --reasoning-format -rea --reasoning --reasoning-effort --reasoning-budget --reasoning-budget-message --chat-template
        --chat-template-file --sleep-idle-seconds --kv-unified-per-slot
        """;

    private const string NumberNames = "-t --threads -tb --threads-batch -s --seed -to --timeout --threads-http --cache-reuse --keep -mg --main-gpu";

    public static bool IsSwitch(string flag) => Contains(SwitchNames, flag);

    public static bool TakesValue(string flag) => Contains(ValuedNames, flag);

    public static bool TakesNumber(string flag) => Contains(NumberNames, flag);

    // A scan instead of sets: a command line has a dozen flags, and start-up is part of what the tests wait for.
    private static bool Contains(string names, string flag)
    {
        foreach (var range in names.AsSpan().SplitAny(' ', '\n'))
        {
            if (names.AsSpan(range).SequenceEqual(flag))
            {
                return true;
            }
        }

        return false;
    }
}
