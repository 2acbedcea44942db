using System.Net.Sockets;
using LlmGateway.Gateway.Models;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;

namespace LlmGateway.Gateway.Tests;

public sealed class ConsoleLogTests
{
    [Fact]
    public void WithoutGivenUp_ClientWhoseWindowStayedClosed_IsNoErrorOfOurs()
    {
        var kept = new List<string>();
        var log = ConsoleLog.WithoutGivenUp(new RecordingLogger(kept));
        Write("one", new SocketException((int)SocketError.TimedOut));
        Write("two", new IOException("", new SocketException((int)SocketError.TimedOut)));
        Write("three", new SocketException((int)SocketError.AccessDenied));
        Write("four", new InvalidOperationException());
        Write("five", null);
        Assert.Equal(["three", "four", "five"], kept);

        void Write(string text, Exception? exception) => log.Log(LogLevel.Error, 0, text, exception, static (text, _) => text);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task CreateData_Log_LosesLinesRatherThanHoldRequestsUp(bool json)
    {
        await using var app = WebServer.CreateData(new DataPlaneOptions { LogFormat = json ? LogFormat.Json : LogFormat.Text }).Build();
        Assert.IsType<ConsoleLog>(Assert.Single(app.Services.GetServices<ILoggerProvider>()));
        Assert.Equal(ConsoleLoggerQueueFullMode.DropWrite, app.Services.GetRequiredService<IOptions<ConsoleLoggerOptions>>().Value.QueueFullMode);
    }

    private sealed class RecordingLogger(List<string> kept) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => kept.Add(formatter(state, exception));
    }
}
