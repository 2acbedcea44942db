namespace LlmGateway.Gateway.Scheduling.Order;

/// <summary>What a request costs a server, in prompt tokens: a generated token counts as two. Pure.</summary>
internal static class TokenCost
{
    /// <summary>A generated token against one of the prompt, as the paper on the fair counter has it.</summary>
    private const double Generated = 2;

    /// <summary>The answer's length while nothing is known.</summary>
    private const double UsualCompletion = 256;

    /// <summary>The cost as it can be told before it is served.</summary>
    /// <param name="prompt">Tokens of the prompt.</param>
    /// <param name="choices">Answers asked for.</param>
    /// <param name="most">Most tokens of one answer, or null.</param>
    /// <param name="usual">Tokens of a usual answer, or null.</param>
    public static double Estimate(double prompt, int choices, int? most, double? usual) =>
        Actual(prompt, choices * Math.Min(most is null or < 0 ? double.MaxValue : most.Value, usual ?? UsualCompletion));

    /// <summary>Tokens that a request is likely to take, before anything is known of its model.</summary>
    public static double Tokens(int bytes, int choices, int? most) => (bytes / 4.0) + (choices * Math.Min(most is null or < 0 ? UsualCompletion : most.Value, UsualCompletion));

    /// <summary>The cost of what was served.</summary>
    /// <param name="prompt">Tokens of the prompt that were not in the server's cache.</param>
    /// <param name="completion">Tokens generated.</param>
    public static double Actual(double prompt, double completion) => Math.Max(1, prompt + (Generated * completion));
}
