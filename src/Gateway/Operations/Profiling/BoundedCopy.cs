namespace LlmGateway.Gateway.Operations.Profiling;

/// <summary>Copies a stream up to a bound; what is beyond it stays unread.</summary>
internal static class BoundedCopy
{
    /// <returns>True when all of it has been copied.</returns>
    public static async Task<bool> RunAsync(Stream from, Stream to, long mostBytes, CancellationToken cancellationToken)
    {
        var buffer = new byte[64 * 1024];
        var left = mostBytes;
        while (left > 0)
        {
            var read = await from.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, left)), cancellationToken);
            if (read == 0)
            {
                return true;
            }

            await to.WriteAsync(buffer.AsMemory(0, read), cancellationToken);
            left -= read;
        }

        return false;
    }
}
