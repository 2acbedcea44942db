using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Forwarding;

/// <summary>Watches a stream's events pass: where each ends, whether one is the last or an error, what they say of the cost. It never changes a byte.</summary>
/// <remarks>Half an event is held back until its other half has come, at most <see cref="LongestHeld"/> bytes; a longer one flows on in parts.</remarks>
internal sealed class EventWatch(StreamShape shape)
{
    public const int LongestHeld = 64 * 1024;

    /// <summary>How much of a long event's known part stays: what matters in it must not fall between two looks.</summary>
    private const int Overlap = 1024;

    private bool _sawLast;
    private bool _isEnd;
    private int _ends;

    /// <summary>The first part of an event has been handed on, and its end is still to come.</summary>
    public bool IsInsideEvent { get; private set; }

    /// <summary>The API's own end, or an error of the backend's own: nothing more is to come.</summary>
    public bool SawLast => _sawLast || SawError;

    public bool SawError { get; private set; }

    public TokenUsage? Usage { get; private set; }

    /// <summary>Is shown each whole event as it is released.</summary>
    public SentText? Sent { get; init; }

    /// <summary>Releases the whole events among the held bytes. Null when there is none; else whether one of them is more than a comment.</summary>
    public bool? Release(RelayBuffer buffer)
    {
        var isToken = false;
        var isAny = false;
        while (EventFraming.NextEvent(buffer.Held) is var length and > 0)
        {
            var oneEvent = buffer.Held[..length];
            isAny = true;
            isToken |= IsInsideEvent || !EventFraming.IsComment(oneEvent);
            Inspect(oneEvent);
            Sent?.Note(oneEvent, isWhole: !IsInsideEvent);
            (IsInsideEvent, _isEnd) = (false, false);
            buffer.Release(length);
        }

        if (_sawLast && !SawError)
        {
            // Behind the last event there is nothing to wait for: the LF of a CRLF, say.
            isAny |= buffer.Held.Length > 0;
            buffer.Release(buffer.Held.Length);
        }
        else if (!isAny && buffer.Held.Length >= LongestHeld)
        {
            // Handed on without its end. A line end at the cut stays: with what comes it may be the blank line.
            var part = buffer.Held;
            Inspect(part);
            Sent?.Note(part, isWhole: false);
            IsInsideEvent = true;
            buffer.Release(part[..^Overlap].TrimEnd("\r\n"u8).Length);
            return true;
        }

        return isAny ? isToken : null;
    }

    /// <summary>Looks whether an event, or the next part of a long one, ends the stream or tells its cost.</summary>
    private void Inspect(ReadOnlySpan<byte> text)
    {
        Usage = shape.Ends == 1 ? TokenUsage.Find(text, Usage) : Usage;
        if (IsInsideEvent && shape.Dialect != ApiDialect.Native)
        {
            // It begins within a line, and only a whole line says what it is.
            text = text[(text.IndexOfAny((byte)'\n', (byte)'\r') is var line and >= 0 ? line : text.Length)..];
        }

        SawError |= StreamEnd.IsError(text);
        if (!_isEnd && StreamEnd.IsLast(shape, text))
        {
            // Of a long event two parts overlap: it counts once.
            _isEnd = true;
            _ends++;
            if (shape.Ends > 1 && TokenUsage.Find(text, null) is { } one)
            {
                Usage = one + Usage;
            }
        }

        _sawLast |= SawError || _ends >= shape.Ends;
    }
}
