using LlmGateway.TestKit.Simulators;

namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

public sealed class SimulatorFixture : BackendFixture
{
    public override IReadOnlyList<string> SlowLoading => ["--sim-load-ms", "700"];

    protected override string Executable => SimulatorProcess.Executable;

    protected override IReadOnlyList<string> Model => ["--sim-token-rate", "2000", "--sim-prompt-tps", "50000", "--sim-default-tokens", "100000"];
}
