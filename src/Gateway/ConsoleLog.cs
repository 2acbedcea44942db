using System.Net.Sockets;
using Microsoft.Extensions.Logging.Console;

namespace LlmGateway.Gateway;

/// <summary>The console without what Kestrel takes for a fault of its own and is a client's.</summary>
/// <remarks>
/// Kestrel knows resets, but not that the kernel gives a client up whose window stays closed (<see cref="ClientSockets.Unacknowledged"/>): it logs an error with
/// a stack for each, under a category that also holds real ones.
/// </remarks>
[ProviderAlias("Console")]
internal sealed class ConsoleLog(ConsoleLoggerProvider console) : ILoggerProvider, ISupportExternalScope
{
    private const string Kestrel = "Microsoft.AspNetCore.Server.Kestrel";

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => categoryName == Kestrel ? WithoutGivenUp(console.CreateLogger(categoryName)) : console.CreateLogger(categoryName);

    /// <inheritdoc/>
    public void SetScopeProvider(IExternalScopeProvider scopeProvider) => console.SetScopeProvider(scopeProvider);

    /// <inheritdoc/>
    public void Dispose() => console.Dispose();

    /// <summary>A logger that passes everything on but clients that were given up.</summary>
    internal static ILogger WithoutGivenUp(ILogger inner) => new Passing(inner);

    private sealed class Passing(ILogger inner) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => inner.BeginScope(state);

        public bool IsEnabled(LogLevel logLevel) => inner.IsEnabled(logLevel);

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (exception?.GetBaseException() is not SocketException { SocketErrorCode: SocketError.TimedOut })
            {
                inner.Log(logLevel, eventId, state, exception, formatter);
            }
        }
    }
}
