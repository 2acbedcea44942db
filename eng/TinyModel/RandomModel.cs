using System.Buffers.Binary;

namespace LlmGateway.TinyModel;

/// <summary>
/// A Llama-architecture model of noise. Control and byte tokens have an output row of zeros, so in practice they are never
/// sampled: generation runs to max_tokens or the end of the context and is valid UTF-8, one piece a token. An
/// <paramref name="endWeight"/> above 0 gives the end token a row of its own, and it wins now and then.
/// </summary>
internal sealed class RandomModel(ModelShape shape, string name, bool chatTemplate, ulong seed, double endWeight)
{
    private const string ChatTemplate =
        "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}\n{% endfor %}" +
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}";

    /// <summary>llama.cpp's names of mixtures: F16, Q4_0, Q8_0, Q4_K_S.</summary>
    private uint FileType => shape.Weights switch { TensorKind.Q40 => 2, TensorKind.Q80 => 7, TensorKind.Q4K => 14, _ => 1 };

    public void WriteTo(Stream stream)
    {
        var gguf = new GgufWriter();
        AddMetadata(gguf);
        AddTokenizer(gguf);
        AddTensors(gguf);
        gguf.WriteTo(stream);
    }

    private void AddMetadata(GgufWriter gguf)
    {
        var prefix = shape.Architecture;
        gguf.Add("general.architecture", prefix);
        gguf.Add("general.type", "model");
        gguf.Add("general.name", name);
        gguf.Add("general.alignment", GgufWriter.Alignment);
        gguf.Add("general.file_type", FileType);
        gguf.Add($"{prefix}.context_length", (uint)shape.Context);
        gguf.Add($"{prefix}.embedding_length", (uint)shape.Embedding);
        gguf.Add($"{prefix}.block_count", (uint)shape.Layers);
        gguf.Add($"{prefix}.feed_forward_length", (uint)shape.FeedForward);
        gguf.Add($"{prefix}.vocab_size", (uint)shape.Vocabulary);
        gguf.Add($"{prefix}.rope.dimension_count", (uint)shape.HeadSize);
        gguf.Add($"{prefix}.rope.freq_base", 10_000f);
        gguf.Add($"{prefix}.attention.head_count", (uint)shape.Heads);
        gguf.Add($"{prefix}.attention.head_count_kv", (uint)shape.KeyValueHeads);
        gguf.Add($"{prefix}.attention.layer_norm_rms_epsilon", 1e-5f);
        if (shape.Experts > 0)
        {
            gguf.Add($"{prefix}.expert_count", (uint)shape.Experts);
            gguf.Add($"{prefix}.expert_used_count", (uint)shape.ExpertsUsed);
        }

        if (shape.SlidingWindow > 0)
        {
            gguf.Add($"{prefix}.attention.sliding_window", (uint)shape.SlidingWindow);
            gguf.Add($"{prefix}.attention.key_length", (uint)shape.HeadSize);
            gguf.Add($"{prefix}.attention.value_length", (uint)shape.HeadSize);
        }
    }

    private void AddTokenizer(GgufWriter gguf)
    {
        var tokens = Vocabulary.Create(shape.Vocabulary);
        gguf.Add("tokenizer.ggml.model", "llama");
        gguf.Add("tokenizer.ggml.pre", "default");
        gguf.Add("tokenizer.ggml.tokens", [.. tokens.Select(token => token.Piece)]);
        gguf.Add("tokenizer.ggml.scores", [.. tokens.Select(token => token.Score)]);
        gguf.Add("tokenizer.ggml.token_type", [.. tokens.Select(token => (int)token.Kind)]);
        gguf.Add("tokenizer.ggml.unknown_token_id", (uint)Vocabulary.Unknown);
        gguf.Add("tokenizer.ggml.bos_token_id", (uint)Vocabulary.Begin);
        gguf.Add("tokenizer.ggml.eos_token_id", (uint)Vocabulary.End);
        gguf.Add("tokenizer.ggml.add_bos_token", true);
        gguf.Add("tokenizer.ggml.add_eos_token", false);
        if (chatTemplate)
        {
            gguf.Add("tokenizer.chat_template", ChatTemplate);
        }
    }

    private void AddTensors(GgufWriter gguf)
    {
        var width = shape.Embedding;
        var inner = 1 / Math.Sqrt(width);
        var index = 0UL;
        Noise("token_embd.weight", width, shape.Vocabulary, 0.5);
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            Norm($"blk.{layer}.attn_norm.weight");
            Noise($"blk.{layer}.attn_q.weight", width, width, inner);
            Noise($"blk.{layer}.attn_k.weight", width, shape.KeyValueSize, inner);
            Noise($"blk.{layer}.attn_v.weight", width, shape.KeyValueSize, inner);
            Noise($"blk.{layer}.attn_output.weight", width, width, inner);
            Norm($"blk.{layer}.ffn_norm.weight");
            if (shape.SlidingWindow > 0)
            {
                Norm($"blk.{layer}.post_attention_norm.weight");
                Norm($"blk.{layer}.post_ffw_norm.weight");
            }

            FeedForward(layer);
        }

        Norm("output_norm.weight");
        if (shape.SlidingWindow == 0)
        {
            Noise("output.weight", width, shape.Vocabulary, 2 * inner, then: SilenceControls); // Gemma's is its token embedding
        }

        void FeedForward(int layer)
        {
            var (many, suffix) = shape.Experts > 0 ? (shape.Experts, "_exps") : (1, "");
            if (shape.Experts > 0)
            {
                Matrix($"blk.{layer}.ffn_gate_inp.weight", TensorKind.F16, [width, shape.Experts], inner);
            }

            Noise($"blk.{layer}.ffn_gate{suffix}.weight", width, shape.FeedForward, inner, many);
            Noise($"blk.{layer}.ffn_up{suffix}.weight", width, shape.FeedForward, inner, many);
            Noise($"blk.{layer}.ffn_down{suffix}.weight", shape.FeedForward, width, 1 / Math.Sqrt(shape.FeedForward), many);
        }

        void Norm(string tensor) => gguf.Add(new Tensor(tensor, TensorKind.F32, [width], Ones));

        void Noise(string tensor, int columns, int rows, double deviation, int experts = 1, Action<Span<byte>>? then = null) =>
            Matrix(tensor, shape.Weights, experts > 1 ? [columns, rows, experts] : [columns, rows], deviation, then);

        void Matrix(string tensor, TensorKind kind, long[] sizes, double deviation, Action<Span<byte>>? then = null)
        {
            var noise = new TensorNoise(unchecked((seed * 100_003) + index++));
            gguf.Add(new Tensor(tensor, kind, sizes, bytes =>
            {
                noise.Fill(bytes, kind, deviation);
                then?.Invoke(bytes);
            }));
        }
    }

    private void SilenceControls(Span<byte> output)
    {
        var row = shape.Weights.RowBytes(shape.Embedding);
        output[..(Vocabulary.FirstText * row)].Clear();
        if (endWeight > 0)
        {
            new TensorNoise(seed).Fill(output.Slice(Vocabulary.End * row, row), shape.Weights, endWeight / Math.Sqrt(shape.Embedding));
        }
    }

    private static void Ones(Span<byte> floats)
    {
        for (var at = 0; at < floats.Length; at += sizeof(float))
        {
            BinaryPrimitives.WriteSingleLittleEndian(floats[at..], 1f);
        }
    }
}
