namespace LlmGateway.Gateway.Forwarding;

/// <summary>Whether the bytes so far are one whole JSON object or list, seen by its brackets only. Values in, values out; a few bytes of state for any length.</summary>
/// <remarks>For an answer that has neither a length nor chunks: its connection's end says nothing about whether all of it has come.</remarks>
internal struct JsonExtent
{
    private int _depth;
    private bool _isInText;
    private bool _isEscaped;
    private bool _hasBegun;

    /// <summary>True when every bracket and text that was opened is closed.</summary>
    public readonly bool IsWhole => _hasBegun && _depth == 0 && !_isInText;

    public void Feed(ReadOnlySpan<byte> bytes)
    {
        foreach (var one in bytes)
        {
            if (_isInText)
            {
                _isInText = _isEscaped || one != '"';
                _isEscaped = !_isEscaped && one == '\\';
                continue;
            }

            _depth += one switch { (byte)'{' or (byte)'[' => 1, (byte)'}' or (byte)']' => -1, _ => 0 };
            _hasBegun |= _depth > 0;
            _isInText = one == '"';
        }
    }
}
