namespace LlmGateway.LoadTests.Running;

/// <summary>Programs of this repository that have been built: what a run may start.</summary>
internal static class BuiltPrograms
{
    /// <exception cref="SpawnException">Not built, or this is not the repository; the message says what to do.</exception>
    public static string Gateway() => Find(["src", "Gateway"], "llm-gateway", "dotnet build src/Gateway -c Release");

    /// <inheritdoc cref="Gateway"/>
    public static string Simulator() => Find(["src", "Simulator"], "llama-simulator", "dotnet build src/Simulator -c Release");

    /// <inheritdoc cref="Gateway"/>
    public static string BareYarp() => Find(["load-tests", "BareYarp"], "bare-yarp", "dotnet build load-tests/BareYarp -c Release");

    /// <inheritdoc cref="Gateway"/>
    public static string BareKestrel() => Find(["load-tests", "BareKestrel"], "bare-kestrel", "dotnet build load-tests/BareKestrel -c Release");

    /// <summary>The repository's root.</summary>
    /// <exception cref="SpawnException">This program does not lie in the repository.</exception>
    public static string Root()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "LlmGateway.sln")))
            {
                return folder.FullName;
            }
        }

        throw new SpawnException("Programs are started inside the repository only: there is no LlmGateway.sln above this one. Start a gateway and name it with --url.");
    }

    private static string Find(string[] project, string program, string build)
    {
        var name = OperatingSystem.IsWindows() ? program + ".exe" : program;
        var isRelease = AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}", StringComparison.Ordinal);
        string[] configurations = isRelease ? ["Release", "Debug"] : ["Debug", "Release"];
        return configurations.Select(configuration => Path.Combine([Root(), .. project, "bin", configuration, "net10.0", name])).FirstOrDefault(File.Exists)
            ?? throw new SpawnException($"There is no built {program}. Build it: {build}");
    }
}
