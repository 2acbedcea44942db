using LlmGateway.Gateway.Forwarding;

namespace LlmGateway.Gateway.Tests.Fakes;

/// <summary>What a client may have seen of a stream that was cut.</summary>
internal static class WholeEvents
{
    /// <summary>Length of the whole events at the beginning: everything up to the last blank line.</summary>
    public static int In(ReadOnlySpan<byte> bytes)
    {
        var end = 0;
        while (EventFraming.NextEvent(bytes[end..]) is var length and > 0)
        {
            end += length;
        }

        return end;
    }
}
