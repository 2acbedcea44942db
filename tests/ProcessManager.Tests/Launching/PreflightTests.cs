using LlmGateway.ProcessManager.Launching;
using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;
using LlmGateway.ProcessManager.Tests.Fakes;

namespace LlmGateway.ProcessManager.Tests.Launching;

public sealed class PreflightTests : IDisposable
{
    private readonly ScriptServer _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public void FindProgram_ByPathAndByName_IsTheSame()
    {
        Assert.Equal((_files.Program, null), Preflight.FindProgram(_files.Program, null));
        Assert.Equal((_files.Program, null), Preflight.FindProgram("server", $"/no/such:{_files.Folder}"));
        Assert.Equal("/bin/sh", Preflight.FindProgram("/bin/sh", null).Path);
    }

    [Theory]
    [InlineData("missing", "There is no program at")]
    [InlineData("plain", "may not be executed")]
    [InlineData("text", "neither a Linux program nor a script")]
    [InlineData("folder", "is a folder")]
    [InlineData("empty", "neither a Linux program nor a script")]
    public void FindProgram_CannotWork_NamesPathAndCure(string name, string message)
    {
        var path = Path.Combine(_files.Folder, name);
        _files.Set("plain", "#!/bin/sh\n");
        _files.Write("text", "just words");
        _files.Write("empty", "");
        Directory.CreateDirectory(Path.Combine(_files.Folder, "folder"));

        var (found, problem) = Preflight.FindProgram(path, null);

        Assert.Null(found);
        Assert.Equal(ExitCause.PermanentConfig, problem!.Cause);
        Assert.Contains(path, problem.Message, StringComparison.Ordinal);
        Assert.Contains(message, problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FindProgram_NotInPath_SaysSo() =>
        Assert.Contains("no program llama-nowhere in PATH", Preflight.FindProgram("llama-nowhere", "/bin").Problem!.Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("GGUF\u0003", null)]
    [InlineData("version https://git-lfs", "is not a GGUF model")]
    [InlineData("GG", "is not a GGUF model")]
    [InlineData(null, "There is no model at")]
    public void CheckModel_File_IsLookedAtBeforeTheLaunch(string? content, string? message)
    {
        if (content is not null)
        {
            _files.Set("m.gguf", content);
        }

        // Relative to the folder that the child runs in.
        var options = new ReplicaSetOptions { Model = "m", Kind = ReplicaKind.LlamaServer, Executable = "x", WorkingDirectory = _files.Folder };
        var problem = Preflight.CheckModel(options, ["-m", "m.gguf"]);

        Assert.Equal(message is null, problem is null);
        if (message is not null)
        {
            Assert.Equal(ExitCause.ModelInvalid, problem!.Cause);
            Assert.Contains(message, problem.Message, StringComparison.Ordinal);
            Assert.Contains(Path.Combine(_files.Folder, "m.gguf"), problem.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void CheckModel_Simulator_NeedsNone() =>
        Assert.Null(Preflight.CheckModel(new() { Model = "m", Kind = ReplicaKind.Simulator, Executable = "x" }, ["-m", "nowhere.gguf"]));
}
