namespace LlmGateway.Gateway.Requests;

/// <summary>What the gateway needs to know of a request body, found in one pass over its bytes.</summary>
internal sealed record BodyFacts
{
    /// <summary>The model that the body names, or null.</summary>
    public string? Model { get; set; }

    /// <summary>True when the answer is to be a stream.</summary>
    public bool Stream { get; set; }

    /// <summary>Choices asked for.</summary>
    public int Choices { get; set; } = 1;

    /// <summary>Choices by llama-server's own name for their number, which it takes before OpenAI's; null when it is not given.</summary>
    public int? OwnChoices { get; set; }

    /// <summary>Prompts, inputs or documents in the longest of the body's lists; 1 when there is none.</summary>
    public int Items { get; set; } = 1;

    /// <summary>Prompts in the list of them; 1 when it is no list.</summary>
    public int Prompts { get; set; } = 1;

    /// <summary>True when the answer is to have only some of its fields.</summary>
    public bool PicksFields { get; set; }

    /// <summary>Most tokens that the client wants, or null.</summary>
    public int? MaxTokens { get; set; }

    /// <summary>True when it asks for a slot by its number: it would wait inside the backend while others are free.</summary>
    public bool PinsSlot { get; set; }

    /// <summary>True when its messages name media by address: the backend would fetch them.</summary>
    public bool NamesRemoteMedia { get; set; }

    /// <summary>Slots that the request can use at once.</summary>
    public int FanOut(FanOut fanOut) => fanOut switch
    {
        Requests.FanOut.Choices => Choices,
        Requests.FanOut.Prompts => (int)Math.Min((long)Choices * Items, int.MaxValue),
        Requests.FanOut.Inputs or Requests.FanOut.Documents => Items,
        _ => 1,
    };

    /// <summary>Answers that end one by one in a stream of llama.cpp's own API.</summary>
    public int Ends(FanOut fanOut) => fanOut switch
    {
        Requests.FanOut.Choices => OwnChoices ?? Choices,
        Requests.FanOut.Prompts => (int)Math.Min((long)(OwnChoices ?? Choices) * Prompts, int.MaxValue),
        _ => 1,
    };
}
