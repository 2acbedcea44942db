using LlmGateway.TestKit.Processes;

namespace LlmGateway.EndToEnd.Tests.BackendBehaviour;

/// <summary>How to start the server under test, and one instance that the tests of a class share.</summary>
public abstract class BackendFixture : IAsyncDisposable
{
    public const int Slots = 2;
    public const int SlotContext = 2048;

    private RunningBackend? _shared;

    /// <summary>Path of the program.</summary>
    /// <exception cref="FileNotFoundException">It is not there; the message says what to do.</exception>
    protected abstract string Executable { get; }

    /// <summary>Arguments that stand for a model that loads at once and generates about a thousand tokens a second.</summary>
    protected abstract IReadOnlyList<string> Model { get; }

    /// <summary>Arguments with which loading takes about a second.</summary>
    public abstract IReadOnlyList<string> SlowLoading { get; }

    /// <summary>Two slots of 2048 tokens, with metrics.</summary>
    public async Task<RunningBackend> SharedAsync(CancellationToken cancellationToken) =>
        _shared ??= await StartAsync(cancellationToken, "-np", $"{Slots}", "-c", $"{Slots * SlotContext}", "-b", "512", "-t", "1", "--threads-http", "64", "--metrics", "-a", "zeta,alpha");

    /// <summary>Starts one with further arguments and waits until it is ready.</summary>
    public async Task<RunningBackend> StartAsync(CancellationToken cancellationToken, params string[] arguments) =>
        await RunningBackend.StartAsync(Executable, [.. Model, "--host", "127.0.0.1", "--port", "0", .. arguments], cancellationToken);

    /// <summary>Starts one with exactly these arguments behind the model's, and waits for nothing.</summary>
    public ChildProcess Launch(IReadOnlyList<string> arguments, bool withModel = true, IReadOnlyDictionary<string, string?>? environment = null) =>
        ChildProcess.Start(Executable, withModel ? [.. Model, .. arguments] : arguments, environment);

    public async ValueTask DisposeAsync()
    {
        if (_shared is not null)
        {
            await _shared.DisposeAsync();
        }

        GC.SuppressFinalize(this);
    }
}
