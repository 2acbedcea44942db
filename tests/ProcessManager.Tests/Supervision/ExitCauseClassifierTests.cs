using LlmGateway.ProcessManager.Replicas;
using LlmGateway.ProcessManager.Supervision;

namespace LlmGateway.ProcessManager.Tests.Supervision;

public sealed class ExitCauseClassifierTests
{
    private static readonly string[] Loading = ["0.00.034 I srv load_model: loading model 'x.gguf'"];

    /// <summary>Exit codes and last lines as measured on llama-server build 11669.</summary>
    [Theory]
    [InlineData(1, ExitCause.ModelInvalid, "E gguf_init_from_file: failed to open GGUF file 'X' (No such file or directory)")]
    [InlineData(1, ExitCause.ModelInvalid, "gguf_init_from_file_impl: invalid magic characters: 'not ', expected 'GGUF'")]
    [InlineData(1, ExitCause.ModelInvalid, "tensor 'token_embd.weight' data is not within the file bounds, model is corrupted or incomplete")]
    [InlineData(1, ExitCause.ModelInvalid, "E srv  llama_server: exiting due to model loading error")]
    [InlineData(1, ExitCause.PermanentConfig, "E llama_model_load_from_file_impl: no backends are loaded. hint: use ggml_backend_load()")]
    [InlineData(1, ExitCause.PermanentConfig, "error: invalid argument: --no-such-flag")]
    [InlineData(1, ExitCause.PermanentConfig, "error while handling argument \"-np\": stoi")]
    [InlineData(1, ExitCause.PermanentConfig, "error while handling environment variable \"LLAMA_ARG_CTX_SIZE\": stoi")]
    [InlineData(1, ExitCause.PortConflict, "E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 18110")]
    [InlineData(1, ExitCause.PortConflict, "E srv  llama_server: exiting due to HTTP server error")]
    [InlineData(1, ExitCause.Vram, "ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory")]
    [InlineData(1, ExitCause.Vram, "0.00.396.174 E ggml_gallocr_reserve_n_impl: failed to allocate CUDA0 buffer of size 410929184")]
    [InlineData(1, ExitCause.Oom, "0.00.173.618 E ggml_aligned_malloc: insufficient memory (attempted to allocate 195.38 MB)")]
    [InlineData(1, ExitCause.Oom, "0.00.173.638 E ggml_backend_buft_alloc_buffer_n_default: failed to allocate CPU buffer of size 204865536")]
    [InlineData(134, ExitCause.Vram, "CUDA error: out of memory")]
    [InlineData(1, ExitCause.Oom, "terminate called after throwing an instance of 'std::bad_alloc'")]
    [InlineData(127, ExitCause.PermanentConfig, "setsid: failed to execute x: No such file or directory")]
    [InlineData(1, ExitCause.Crash, "something else")]
    [InlineData(0, ExitCause.UnexpectedExit, "cleaning up before exit...")]
    [InlineData(132, ExitCause.WrongBuild, "")]
    [InlineData(134, ExitCause.Crash, "")]
    [InlineData(135, ExitCause.Crash, "")]
    [InlineData(139, ExitCause.Crash, "")]
    [InlineData(137, ExitCause.ExternalKill, "")]
    [InlineData(143, ExitCause.ExternalKill, "")]
    [InlineData(130, ExitCause.ExternalKill, "")]
    internal void Read_CodeAndOutput_TellsTheCause(int code, ExitCause cause, string line)
    {
        var read = ExitCauseClassifier.Read(ReplicaKind.LlamaServer, new(code, false, [.. Loading, line]), signalled: false, null, null);

        Assert.Equal(cause, read.Cause);
        Assert.Equal(code > 128, read.Signal == code - 128 && read.Code is null);
        Assert.NotEmpty(read.Advice);
    }

    [Fact]
    public void Fault3_UnknownArgument_IsPermanentAndTheAdviceQuotesIt()
    {
        var read = ExitCauseClassifier.Read(ReplicaKind.LlamaServer, new(1, false, ["error: invalid argument: --no-such-flag"]), false, null, null);
        Assert.Equal(ExitCause.PermanentConfig, read.Cause);
        Assert.Contains("--no-such-flag", read.Advice, StringComparison.Ordinal);
    }

    [Fact]
    public void AdviceFor_BusError_AsksForTheModelFile()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "signal 7 is another one elsewhere");
        Assert.Contains("model file replaced", ExitCauseClassifier.AdviceFor(ExitCause.Crash, null, 7, null), StringComparison.Ordinal);
    }

    [Fact]
    public void Fault17_Read_GpuMemoryBeforeLoadError_IsVramAndNotTheModel() =>
        Assert.Equal(ExitCause.Vram, ExitCauseClassifier.Read(
            ReplicaKind.LlamaServer,
            new(1, false, ["cudaMalloc failed: out of memory", "failed to load model", "exiting due to model loading error"]), false, null, null).Cause);

    [Fact]
    public void Read_KilledWhileTheKernelCountedAnOomKill_IsOom() =>
        Assert.Equal(ExitCause.Oom, ExitCauseClassifier.Read(ReplicaKind.LlamaServer, new(137, true, []), false, null, null).Cause);

    [Theory]
    [InlineData(0)]
    [InlineData(143)]
    [InlineData(137)]
    [InlineData(139)]
    public void Read_AskedByUs_IsRequestedWhateverTheCode(int code) =>
        Assert.Equal(ExitCause.Requested, ExitCauseClassifier.Read(ReplicaKind.LlamaServer, new(code, true, []), signalled: true, null, null).Cause);

    [Fact]
    public void Read_KilledByUsForACause_IsThatCause()
    {
        var read = ExitCauseClassifier.Read(ReplicaKind.LlamaServer, new(137, true, []), signalled: true, ExitCause.StartTimeout, "no progress");
        Assert.Equal((ExitCause.StartTimeout, "no progress"), (read.Cause, read.Advice));
    }

    [Fact]
    public void Read_OtherProgramsWords_AreNotReadAsLlamaServers()
    {
        Assert.Equal(ExitCause.Crash, ExitCauseClassifier.Read(ReplicaKind.Command, new(1, false, ["failed to load model"]), false, null, null).Cause);
        Assert.Equal(ExitCause.PortConflict, ExitCauseClassifier.Read(ReplicaKind.Command, new(1, false, ["OSError: Address already in use"]), false, null, null).Cause);
    }

    [Fact]
    public void AdviceFor_EveryCause_HasALine() =>
        Assert.All(Enum.GetValues<ExitCause>(), cause => Assert.NotEmpty(ExitCauseClassifier.AdviceFor(cause, 1, null, "x")));
}
