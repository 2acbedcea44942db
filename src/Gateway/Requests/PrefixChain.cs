using System.Collections.Immutable;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace LlmGateway.Gateway.Requests;

/// <summary>A beginning of a prompt: its hash, and how many bytes of the body it is.</summary>
internal readonly record struct PrefixLink(ulong Hash, int Bytes);

/// <summary>
/// The beginnings of a prompt as a chain of hashes: two requests that have a link in common begin alike up to there, so that a server that has read the one
/// need not read that much of the other. Pure, but for a seed that is another one in each process: the hashes tell nobody anything, and no text is kept.
/// </summary>
internal static class PrefixChain
{
    /// <summary>Long texts have a link for each of so many bytes.</summary>
    private const int BlockBytes = 1024;

    /// <summary>Of a longer chain the first and the last links are kept: what conversations share, and where they go on.</summary>
    private const int FirstLinks = 8;
    private const int LastLinks = 24;

    private static readonly long Seed = BitConverter.ToInt64(RandomNumberGenerator.GetBytes(8));

    /// <summary>The hash of a client's session hint; for one key it never meets another's.</summary>
    public static ulong OfSession(string key, string session) => XxHash3.HashToUInt64(Encoding.UTF8.GetBytes($"{key}\n{session}"), Seed);

    /// <summary>The chain of a JSON body that has been found to be well-formed; empty when it has no prompt that could be shared.</summary>
    public static ImmutableArray<PrefixLink> Of(ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = BodyPeek.MaxDepth });
        var links = new List<PrefixLink>();

        // What a template puts before the messages may stand behind them in the body.
        var (root, chain, bytes) = (0UL, (ulong)Seed, 0);
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("messages"u8) || reader.ValueTextEquals("prompt"u8) || reader.ValueTextEquals("input"u8))
            {
                reader.Read();
                Follow(ref reader, ref chain, ref bytes, links);
            }
            else if (reader.ValueTextEquals("system"u8) || reader.ValueTextEquals("tools"u8) || reader.ValueTextEquals("instructions"u8))
            {
                reader.Read();
                var start = reader.TokenStartIndex;
                reader.Skip();
                root ^= XxHash3.HashToUInt64(body[(int)start..(int)reader.BytesConsumed], Seed);
                bytes += (int)(reader.BytesConsumed - start);
            }
            else
            {
                reader.Read();
                reader.Skip();
            }
        }

        var kept = new PrefixLink[Math.Min(links.Count, FirstLinks + LastLinks)];
        for (var i = 0; i < kept.Length; i++)
        {
            var link = links[i < FirstLinks ? i : links.Count - kept.Length + i];
            kept[i] = link with { Hash = link.Hash ^ root };
        }

        return ImmutableCollectionsMarshal.AsImmutableArray(kept);
    }

    /// <summary>Hashes what the tokens say, not how they are spaced, and links after each message and each block of a long text.</summary>
    private static void Follow(ref Utf8JsonReader reader, ref ulong chain, ref int bytes, List<PrefixLink> links)
    {
        var depth = reader.CurrentDepth;
        while (true)
        {
            var text = reader.ValueSpan;
            for (var at = 0; at + BlockBytes < text.Length; at += BlockBytes)
            {
                chain = XxHash3.HashToUInt64(text.Slice(at, BlockBytes), (long)chain);
                bytes += BlockBytes;
                links.Add(new PrefixLink(chain, bytes));
            }

            var rest = text[(text.Length - (text.Length % BlockBytes == 0 && text.Length > 0 ? BlockBytes : text.Length % BlockBytes))..];
            chain = XxHash3.HashToUInt64(rest, (long)chain ^ (long)reader.TokenType);
            bytes += rest.Length;
            var isMessage = reader.TokenType == JsonTokenType.EndObject && reader.CurrentDepth == depth + 1;
            var isEnd = reader.CurrentDepth == depth && reader.TokenType is not (JsonTokenType.StartArray or JsonTokenType.StartObject);
            if (isMessage || (isEnd && reader.TokenType == JsonTokenType.String))
            {
                links.Add(new PrefixLink(chain, bytes));
            }

            if (isEnd || !reader.Read())
            {
                return;
            }
        }
    }
}
