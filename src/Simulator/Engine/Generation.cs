using System.Text;

namespace LlmGateway.Simulator.Engine;

/// <summary>Why an answer ended.</summary>
internal enum StopReason
{
    /// <summary>The asked number of tokens, or the end of the context.</summary>
    Limit,

    /// <summary>The pretended model had nothing more to say.</summary>
    EndOfText,

    /// <summary>A stop string of the request.</summary>
    Word,
}

/// <summary>One sequence in one slot: what is asked, and how far it is.</summary>
internal sealed class Generation(int index, int[] prompt)
{
    /// <summary>Number of this choice in its request.</summary>
    public int Index { get; } = index;

    public int[] Prompt { get; } = prompt;

    /// <summary>Most tokens to generate; -1 when the request does not say. 0 evaluates the prompt only, as embeddings do.</summary>
    public int MaxTokens { get; init; } = -1;

    public IReadOnlyList<string> StopWords { get; init; } = [];

    public bool CachePrompt { get; init; } = true;

    /// <summary>The slot to use, or -1 for any.</summary>
    public int WantedSlot { get; init; } = -1;

    public bool Stream { get; init; }

    /// <summary>Chat formats are named in <c>/slots</c>.</summary>
    public bool IsChat { get; init; }

    public int TaskId { get; set; }

    public int SlotId { get; set; } = -1;

    /// <summary>Prompt tokens that the slot already held.</summary>
    public int CachedTokens { get; set; }

    /// <summary>Prompt tokens evaluated so far, without the cached ones.</summary>
    public int EvaluatedTokens { get; set; }

    public int Predicted { get; set; }

    public StopReason Reason { get; set; }

    public string StopWord { get; set; } = "";

    /// <summary>The context was full before the answer was done.</summary>
    public bool Truncated { get; set; }

    public double PromptMilliseconds { get; set; }

    public double PredictedMilliseconds { get; set; }

    /// <summary>Timestamp of the grant or the last ping.</summary>
    public long LastPing { get; set; }

    /// <summary>The generated tokens.</summary>
    public List<int> Tokens { get; } = [];

    public StringBuilder Text { get; } = new();
}

/// <summary>Takes what one or more generations of a request produce.</summary>
internal interface IGenerationSink
{
    /// <summary>A slot was granted.</summary>
    ValueTask GrantedAsync(Generation generation);

    /// <summary>A batch of the prompt was evaluated.</summary>
    ValueTask PromptProgressAsync(Generation generation);

    /// <summary>One more token; <see cref="Generation.Predicted"/> counts it already.</summary>
    ValueTask TokenAsync(Generation generation, string text);

    /// <summary>The generation has ended by itself.</summary>
    ValueTask EndedAsync(Generation generation);

    /// <summary>Time of silence after which <see cref="PingAsync"/> is due, or infinite.</summary>
    TimeSpan PingInterval { get; }

    ValueTask PingAsync();

    /// <summary>Whether the client is known to have gone, as far as the real server would have noticed by now.</summary>
    bool IsAbandoned { get; }
}
