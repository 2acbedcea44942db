// YARP as it comes: one route, one cluster, its own load balancing, no logging. What a gateway that adds nothing would cost.
//
//   bare-yarp URL BACKEND...
using Yarp.ReverseProxy.Configuration;

if (args.Length < 2)
{
    await Console.Error.WriteLineAsync("Usage: bare-yarp URL BACKEND...");
    return 2;
}

var builder = WebApplication.CreateSlimBuilder();
builder.Logging.ClearProviders();
builder.WebHost.UseUrls(args[0]);
builder.Services.AddReverseProxy().LoadFromMemory(
    [new RouteConfig { RouteId = "all", ClusterId = "backends", Match = new RouteMatch { Path = "{**path}" } }],
    [
        new ClusterConfig
        {
            ClusterId = "backends",
            LoadBalancingPolicy = "LeastRequests",
            Destinations = args.Skip(1).Select((url, i) => (Name: $"b{i}", Url: url)).ToDictionary(static pair => pair.Name, static pair => new DestinationConfig { Address = pair.Url }),
            HttpRequest = new Yarp.ReverseProxy.Forwarder.ForwarderRequestConfig { ActivityTimeout = TimeSpan.FromMinutes(10) },
        },
    ]);
var app = builder.Build();
app.MapReverseProxy();
await app.RunAsync();
return 0;
