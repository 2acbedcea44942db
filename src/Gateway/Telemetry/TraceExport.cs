using OpenTelemetry;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace LlmGateway.Gateway.Telemetry;

/// <summary>Sends spans by OTLP as the standard <c>OTEL_*</c> variables say; off unless one of them names an endpoint.</summary>
internal static class TraceExport
{
    private const string ServiceName = "OTEL_SERVICE_NAME";

    /// <summary>True when the environment names a place to send spans to.</summary>
    /// <param name="variable">Reads an environment variable.</param>
    public static bool IsWanted(Func<string, string?> variable)
    {
        return (IsSet("OTEL_EXPORTER_OTLP_ENDPOINT") || IsSet("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
            && !Is("OTEL_SDK_DISABLED", "true")
            && !Is("OTEL_TRACES_EXPORTER", "none");

        bool IsSet(string name) => !string.IsNullOrWhiteSpace(variable(name));

        bool Is(string name, string value) => value.Equals(variable(name)?.Trim(), StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Says what is measured here, unless the environment does: its word for the service's name must win.</summary>
    public static void Name(ResourceBuilder resource, string version)
    {
        if (string.IsNullOrEmpty(Environment.GetEnvironmentVariable(ServiceName)))
        {
            resource.AddService("llm-gateway", serviceVersion: version, autoGenerateServiceInstanceId: false);
        }
    }

    /// <summary>Begins to export, or gives null when nobody asks for it. Disposing sends what is left.</summary>
    /// <param name="version">Of the gateway.</param>
    public static TracerProvider? Start(string version) => IsWanted(Environment.GetEnvironmentVariable)
        ? Sdk.CreateTracerProviderBuilder()
            .ConfigureResource(resource => Name(resource, version))
            .AddSource(Traces.Sources)
            .AddOtlpExporter()
            .Build()
        : null;
}
