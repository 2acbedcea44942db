using CsCheck;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Tests.Models;

public sealed class ScalarsTests
{
    [Theory]
    [InlineData("250ms", 250)]
    [InlineData("30s", 30_000)]
    [InlineData("10m", 600_000)]
    [InlineData("1h", 3_600_000)]
    [InlineData("0s", 0)]
    [InlineData("1.5s", 1500)]
    [InlineData(".5s", 500)]
    [InlineData(" 30 s ", 30_000)]
    [InlineData("168h", 604_800_000)]
    [InlineData("00:01:30", 90_000)]
    [InlineData("0:01:30", 90_000)]
    [InlineData("00:00:00.250", 250)]
    [InlineData("23:59:59.999", 86_399_999)]
    public void Duration_KnownForm_IsRead(string text, double milliseconds)
    {
        Assert.True(Duration.TryParse(text, out var value));
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), value);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("s")]
    [InlineData("30")]
    [InlineData("-1s")]
    [InlineData("+1s")]
    [InlineData("1d")]
    [InlineData("1S")]
    [InlineData("1e3s")]
    [InlineData("1,5s")]
    [InlineData("1:30")]
    [InlineData("00:60:00")]
    [InlineData("24:00:00")]
    [InlineData("-00:00:01")]
    [InlineData("1.00:00:00")]
    [InlineData("NaNs")]
    [InlineData("Infinitys")]
    [InlineData("99999999999999999999h")]
    public void Duration_AnythingElse_IsRefused(string? text) => Assert.False(Duration.TryParse(text, out _));

    [Fact]
    public void Duration_FractionThatNoBinaryNumberHits_IsExact()
    {
        Assert.True(Duration.TryParse("1.005s", out var value));
        Assert.Equal(TimeSpan.FromMilliseconds(1005), value);
    }

    [Fact]
    public void Duration_Formatted_ReadsBackEqual() =>
        Gen.OneOf(Gen.Long[0, TimeSpan.TicksPerDay - 1], Gen.Long[0, 720 * 3600L].Select(seconds => seconds * TimeSpan.TicksPerSecond))
            .Select(TimeSpan.FromTicks)
            .Sample(value => Duration.TryParse(Duration.Format(value), out var back) && back == value);

    [Theory]
    [InlineData("0", 0)]
    [InlineData("1024", 1024)]
    [InlineData("512MiB", 512L << 20)]
    [InlineData("512 mib", 512L << 20)]
    [InlineData("1.5GiB", 3L << 29)]
    [InlineData("1GB", 1_000_000_000)]
    [InlineData("1kB", 1000)]
    [InlineData("12B", 12)]
    [InlineData("1PiB", 1L << 50)]
    [InlineData("9223372036854775807", long.MaxValue)]
    public void ByteSize_KnownForm_IsRead(string text, long bytes)
    {
        Assert.True(ByteSize.TryParse(text, out var size));
        Assert.Equal(bytes, size.Bytes);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("MiB")]
    [InlineData("-1")]
    [InlineData("1e6")]
    [InlineData("1 000")]
    [InlineData("9223372036854775808")]
    [InlineData("9000PiB")]
    [InlineData("12XB")]
    public void ByteSize_AnythingElse_IsRefused(string? text) => Assert.False(ByteSize.TryParse(text, out _));

    [Fact]
    public void ByteSize_Formatted_ReadsBackEqual() =>
        Gen.OneOf(Gen.Long[0, long.MaxValue], Gen.Select(Gen.Long[0, 1 << 12], Gen.Int[0, 50], (number, shift) => number << shift))
            .Sample(bytes => ByteSize.TryParse(new ByteSize(bytes).ToString(), out var back) && back.Bytes == bytes);

    [Theory]
    [InlineData("18100-18199", 18100, 18199)]
    [InlineData("18100 - 18199", 18100, 18199)]
    [InlineData("65535", 65535, 65535)]
    public void PortRange_KnownForm_IsRead(string text, int first, int last)
    {
        Assert.True(PortRange.TryParse(text, out var range));
        Assert.Equal(new PortRange(first, last), range);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0-10")]
    [InlineData("10-9")]
    [InlineData("1-65536")]
    [InlineData("1-2-3")]
    [InlineData("-5")]
    [InlineData("a-b")]
    public void PortRange_AnythingElse_IsRefused(string text) => Assert.False(PortRange.TryParse(text, out _));
}
