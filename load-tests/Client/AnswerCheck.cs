using System.Text;
using LlmGateway.LoadTests.Scenarios;
using LlmGateway.Simulator.Engine;

namespace LlmGateway.LoadTests.Client;

/// <summary>Holds what came against what the simulator must have said: nothing lost, nothing twice, nothing of somebody else's.</summary>
internal struct AnswerCheck(PlannedRequest request)
{
    private ulong _hash;
    private bool _isHashed;
    private int _position;

    /// <summary>Takes the next text of the answer, of one token or many.</summary>
    /// <returns>False when it is not what follows.</returns>
    public bool Take(ReadOnlySpan<byte> content)
    {
        if (!_isHashed)
        {
            (_hash, _isHashed) = (PromptHash(), true);
        }

        Span<byte> utf8 = stackalloc byte[16];
        while (!content.IsEmpty)
        {
            var piece = utf8[..Encoding.UTF8.GetBytes(Babble.Text(Babble.At(_hash, _position)), utf8)];
            if (_position == request.MaxTokens || !content.StartsWith(piece))
            {
                return false;
            }

            content = content[piece.Length..];
            _position++;
        }

        return true;
    }

    /// <summary>The answer has its asked length.</summary>
    public readonly bool IsWhole => _position == request.MaxTokens;

    // The simulator's template; the smoke test fails when the two differ.
    private readonly ulong PromptHash()
    {
        var prompt = new StringBuilder();
        foreach (var (role, content) in request.Messages)
        {
            prompt.Append("<|").Append(role).Append("|>\n").Append(content).Append('\n');
        }

        var tokens = new List<int>(prompt.Length / 3) { Tokenizer.Begin };
        Tokenizer.Encode(prompt.Append("<|assistant|>\n").ToString(), tokens);
        return Tokenizer.Hash([.. tokens]);
    }
}
