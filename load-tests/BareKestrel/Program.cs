// Kestrel, a socket to the backend, and nothing between them: the ground that a gateway on Kestrel stands on. It knows no keys, no limits and no faults.
//
//   bare-kestrel URL BACKEND...
using LlmGateway.BareKestrel;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

if (args.Length < 2)
{
    await Console.Error.WriteLineAsync("Usage: bare-kestrel URL BACKEND...");
    return 2;
}

// As the gateway has them.
Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");
Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_THREAD_COUNT", $"{Math.Max(1, Environment.ProcessorCount / 2)}");

var builder = WebApplication.CreateSlimBuilder();
builder.Logging.ClearProviders();
builder.WebHost.UseUrls(args[0]);
builder.Services.Configure<SocketTransportOptions>(static options => options.UnsafePreferInlineScheduling = true);
var app = builder.Build();
var wires = Array.ConvertAll(args[1..], static url => new Wire(new Uri(url)));
var turn = 0;
app.Run(context => wires[(uint)Interlocked.Increment(ref turn) % wires.Length].PassAsync(context));
await app.RunAsync();
return 0;
