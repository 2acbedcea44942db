using System.Globalization;

/// <summary>What a gateway runs before its own Main when a test names this assembly in DOTNET_STARTUP_HOOKS: it exhausts the thread pool for a while, on demand.</summary>
internal static class StartupHook
{
    /// <summary>Names the file whose appearance starts the exhaustion; its text is the number of seconds.</summary>
    public const string FileVariable = "LLMGATEWAY_TEST_EXHAUST_POOL";

    /// <summary>Called by the runtime.</summary>
    public static void Initialize()
    {
        if (Environment.GetEnvironmentVariable(FileVariable) is { Length: > 0 } file)
        {
            new Thread(() => Run(file)) { IsBackground = true }.Start();
        }
    }

    private static void Run(string file)
    {
        using var never = new ManualResetEventSlim();
        while (!File.Exists(file))
        {
            never.Wait(TimeSpan.FromMilliseconds(50));
        }

        var duration = TimeSpan.FromSeconds(int.Parse(File.ReadAllText(file), CultureInfo.InvariantCulture));
        ThreadPool.GetMinThreads(out var least, out _);
        ThreadPool.SetMaxThreads(least, least);
        var over = new ManualResetEventSlim();
        for (var i = 0; i < 10_000; i++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(_ => over.Wait(), null);
        }

        never.Wait(duration);
        over.Set();
    }
}
