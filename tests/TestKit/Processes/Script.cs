namespace LlmGateway.TestKit.Processes;

/// <summary>A shell script that stands for a program.</summary>
public static class Script
{
    /// <summary>Writes it where the system will run it.</summary>
    /// <returns>The path.</returns>
    /// <exception cref="PlatformNotSupportedException">On Windows, which runs no such scripts.</exception>
    public static string Write(string path, string text)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException("These tests run scripts.");
        }

        File.WriteAllText(path, text.ReplaceLineEndings("\n"));
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return path;
    }
}
