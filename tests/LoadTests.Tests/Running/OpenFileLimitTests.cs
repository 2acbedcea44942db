using LlmGateway.LoadTests.Running;

namespace LlmGateway.LoadTests.Tests.Running;

public sealed class OpenFileLimitTests
{
    [Theory]
    [InlineData("Max open files            1024                 524288               files     ", 1024)]
    [InlineData("Max open files            unlimited            unlimited            files     ", null)]
    [InlineData("Max pending signals       127                  127                  signals   ", null)]
    public void Parse_LimitsOfLinux_TakesTheSoftOne(string line, int? expected) => Assert.Equal(expected, OpenFileLimit.Parse(["Limit  Soft Limit  Hard Limit", line]));
}
