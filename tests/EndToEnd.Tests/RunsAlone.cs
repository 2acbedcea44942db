namespace LlmGateway.EndToEnd.Tests;

/// <summary>Tests that hold two clocks against each other: beside other tests they would measure those. They run when all others have ended.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class RunsAlone
{
    public const string Name = "alone";
}
