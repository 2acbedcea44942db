using LlmGateway.ProcessManager.Memory;

namespace LlmGateway.ProcessManager.Tests.Memory;

public sealed class GpuSharesTests
{
    [Theory]
    [InlineData("", null, "0.25 0.75")] // by their memory
    [InlineData("-sm none", null, "1 0")]
    [InlineData("--split-mode none --main-gpu 1", null, "0 1")]
    [InlineData("-ts 3,1", null, "0.75 0.25")]
    [InlineData("-ts 0,0", null, "0.5 0.5")]
    [InlineData("-ts x", null, "0.25 0.75")]
    [InlineData("--device CUDA1", null, "0 1")]
    [InlineData("--device none", null, "0 0")]
    [InlineData("--device what", null, "0.25 0.75")]
    [InlineData("", "1", "0 1")]
    [InlineData("", "1,0", "0.25 0.75")]
    [InlineData("-ts 3,1", "1,0", "0.25 0.75")] // the first that it sees is the second
    [InlineData("-sm none", "1,0", "0 1")]
    [InlineData("", "", "0 0")]
    [InlineData("", "-1", "0 0")]
    [InlineData("", "1,7,0", "0 1")]
    [InlineData("", "GPU-8932f937", "0.25 0.75")]
    public void Of_ArgumentsAndEnvironment_AsTheServerDoesIt(string arguments, string? visible, string expected)
    {
        var parsed = LlamaArguments.Parse([.. arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries)], new Dictionary<string, string?>());
        var shares = GpuShares.Of(parsed, name => name == "CUDA_VISIBLE_DEVICES" ? visible : null, [8L << 30, 24L << 30]);
        Assert.Equal(expected, string.Join(' ', shares.Select(share => share.ToString(System.Globalization.CultureInfo.InvariantCulture))));
    }

    [Fact]
    public void Of_NoGpu_IsEmpty() => Assert.Empty(GpuShares.Of(new LlamaArguments(), _ => null, []));
}
