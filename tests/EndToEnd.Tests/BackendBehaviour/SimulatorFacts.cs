namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

public sealed class SimulatorFacts(SimulatorFixture fixture) : BackendFacts(fixture), IClassFixture<SimulatorFixture>;
