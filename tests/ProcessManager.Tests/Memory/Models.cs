using LlmGateway.TinyModel;

namespace LlmGateway.ProcessManager.Tests.Memory;

/// <summary>Models of noise.</summary>
internal static class Models
{
    public static byte[] Bytes(ModelShape shape)
    {
        Assert.Empty(shape.Faults());
        using var stream = new MemoryStream();
        new RandomModel(shape, "tiny-random", chatTemplate: true, seed: 1, endWeight: 0).WriteTo(stream);
        return stream.ToArray();
    }
}
