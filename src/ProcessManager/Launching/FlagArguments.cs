using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Launching;

/// <summary>One flag of llama-server: its spellings, and the environment variable that means the same.</summary>
internal sealed record Flag(string Name, string[] OtherSpellings, string Variable)
{
    /// <summary>llama-server reads <c>--n_gpu_layers</c> as <c>--n-gpu-layers</c>; so do we.</summary>
    public bool IsSpelled(string argument)
    {
        var spelling = argument.StartsWith("--", StringComparison.Ordinal) ? argument.Replace('_', '-') : argument;
        return spelling == Name || OtherSpellings.Contains(spelling);
    }
}

/// <summary>The arguments of a llama-server together with its environment, as it reads them itself. Pure.</summary>
internal readonly record struct FlagArguments(ImmutableArray<string> Values, IReadOnlyDictionary<string, string?> Environment)
{
    public bool Has(Flag flag) => Values.Any(flag.IsSpelled) || FromEnvironment(flag) is not null;

    /// <summary>The value that counts: llama-server takes the last one, and a flag before a variable.</summary>
    public string? ValueOf(Flag flag)
    {
        for (var i = Values.Length - 2; i >= 0; i--)
        {
            if (flag.IsSpelled(Values[i]))
            {
                return Values[i + 1];
            }
        }

        return FromEnvironment(flag);
    }

    /// <summary>All values of a flag that may be given several times.</summary>
    public ImmutableArray<string> ValuesOf(Flag flag)
    {
        var values = ImmutableArray.CreateBuilder<string>();
        for (var i = 0; i + 1 < Values.Length; i++)
        {
            if (flag.IsSpelled(Values[i]))
            {
                values.Add(Values[i + 1]);
            }
        }

        return values.Count == 0 && FromEnvironment(flag) is { } value ? [value] : values.ToImmutable();
    }

    private string? FromEnvironment(Flag flag) => Environment.TryGetValue(flag.Variable, out var value) ? value : null;
}
