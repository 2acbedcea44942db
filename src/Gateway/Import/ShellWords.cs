using System.Collections.Immutable;
using System.Text;

namespace LlmGateway.Gateway.Import;

/// <summary>Splits a command line as a shell would, without running one: quotes, backslashes, comments; nothing is expanded.</summary>
internal static class ShellWords
{
    /// <exception cref="ImportException">A quote is not closed.</exception>
    public static ImmutableArray<string> Split(string text)
    {
        var words = ImmutableArray.CreateBuilder<string>();
        StringBuilder? word = null;
        for (var i = 0; i < text.Length; i++)
        {
            switch (text[i])
            {
                case '\'':
                    word ??= new();
                    i = Quoted(text, i, '\'', word);
                    break;
                case '"':
                    word ??= new();
                    i = Quoted(text, i, '"', word);
                    break;
                case '\\' when i + 1 < text.Length:
                    i++;
                    if (text[i] is '\r' && i + 1 < text.Length && text[i + 1] is '\n')
                    {
                        i++;
                    }

                    // Before the end of a line it joins the lines.
                    if (text[i] is not '\n')
                    {
                        (word ??= new()).Append(text[i]);
                    }

                    break;
                case '#' when word is null:
                    while (i + 1 < text.Length && text[i + 1] is not '\n')
                    {
                        i++;
                    }

                    break;
                case ' ' or '\t' or '\r' or '\n':
                    End();
                    break;
                default:
                    (word ??= new()).Append(text[i]);
                    break;
            }
        }

        End();
        return words.ToImmutable();

        void End()
        {
            if (word is not null)
            {
                words.Add(word.ToString());
                word = null;
            }
        }
    }

    private static int Quoted(string text, int start, char quote, StringBuilder word)
    {
        for (var i = start + 1; i < text.Length; i++)
        {
            if (text[i] == quote)
            {
                return i;
            }

            if (quote == '"' && text[i] == '\\' && i + 1 < text.Length && text[i + 1] is '"' or '\\')
            {
                i++;
            }

            word.Append(text[i]);
        }

        throw new ImportException($"a quote is not closed: {text[start..Math.Min(text.Length, start + 40)]}");
    }
}
