namespace LlmGateway.Architecture.Tests.Rooms;

/// <summary>Types that know <see cref="Secret"/> in ways that a reader of signatures would not see.</summary>
internal static class Planted
{
    internal sealed class Secret
    {
        public static int Value => Environment.ProcessId;
    }

    internal sealed class InMethod
    {
        public override string ToString() => $"{Secret.Value}";
    }

    internal sealed class InLambda
    {
        public Func<string> Tell { get; } = () => $"{Secret.Value}";
    }

    internal static class InAsyncMethod
    {
        public static async Task<string> TellAsync()
        {
            await Task.Yield();
            return $"{Secret.Value}";
        }
    }

    internal static class InGenericArgument
    {
        public static string Tell() => typeof(List<Secret>).Name;
    }
}
