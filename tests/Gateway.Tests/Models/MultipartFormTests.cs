using System.Text;
using LlmGateway.Gateway.Models;

namespace LlmGateway.Gateway.Tests.Models;

public sealed class MultipartFormTests
{
    [Theory]
    [InlineData("multipart/form-data; boundary=x", "x")]
    [InlineData("Multipart/Form-Data; charset=utf-8; boundary=\"a b\"", "a b")]
    [InlineData("multipart/form-data", null)]
    [InlineData("multipart/form-data; boundary=", null)]
    [InlineData("multipart/mixed; boundary=x", null)]
    [InlineData("multipart/form-data; boundary=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", null)]
    [InlineData("", null)]
    [InlineData(null, null)]
    public void BoundaryOf_ContentType_IsItsBoundary(string? contentType, string? boundary) => Assert.Equal(boundary, MultipartForm.BoundaryOf(contentType));

    [Fact]
    public async Task Parts_OfWhatDotNetWrites_AreItsParts()
    {
        using var form = new MultipartFormDataContent("x")
        {
            { new StringContent("m"), "model" },
            { new ByteArrayContent([0, 13, 10, 45, 45, 121, 45, 255]), "file", "ä b.wav" },
            { new StringContent(""), "empty" },
        };
        var bytes = await form.ReadAsByteArrayAsync(TestContext.Current.CancellationToken);
        var parts = MultipartForm.Parts(bytes, "x")!.Value;
        Assert.Equal([("model", false), ("file", true), ("empty", false)], parts.Select(part => (part.Name, part.IsFile)));
        Assert.Equal(["m", "\0\r\n--y-ÿ", ""], parts.Select(part => Encoding.Latin1.GetString(bytes[part.Content])));
    }

    [Theory]
    [InlineData("")]
    [InlineData("--x")]
    [InlineData("--x-")]
    [InlineData("\r\n--x--")]
    [InlineData("preamble\r\n--x--")]
    [InlineData("--x--\r\nepilogue")]
    [InlineData("--x \r\n\r\n\r\n--x--")]
    [InlineData("--x\r\n\r\nno end")]
    [InlineData("--x\r\nno colon\r\n\r\n\r\n--x--")]
    [InlineData("--x\n\nbare line ends\n--x--")]
    [InlineData("--x\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\n\r\n--x--")]
    public void Parts_OfWhatTwoParsersCouldReadDifferently_AreNone(string body) => Assert.Null(MultipartForm.Parts(Encoding.UTF8.GetBytes(body), "x"));

    [Theory]
    [InlineData("form-data; name*; name=model", "model")]
    [InlineData("form-data; name*=; name=model", "model")]
    [InlineData("form-data; name*=utf-8''stream; name=model", "model")] // servers read the plain one
    [InlineData("form-data; name*=utf-8''stream", "")]
    [InlineData("form-data; filename*; name=model", "model")]
    [InlineData("form-data; filename; name=model", "model")]
    public void Parts_NameOfAnotherKind_IsNotRead(string disposition, string name)
    {
        var body = Encoding.UTF8.GetBytes($"--x\r\nContent-Disposition: {disposition}\r\n\r\nvalue\r\n--x--");
        Assert.Equal(name, Assert.Single(MultipartForm.Parts(body, "x")!.Value).Name);
    }

    [Fact]
    public void Parts_MoreThanAForm_AreNone()
    {
        var body = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("--x\r\nA: b\r\n\r\n\r\n", MultipartForm.MostParts + 1)) + "--x--");
        Assert.Null(MultipartForm.Parts(body, "x"));
    }
}
