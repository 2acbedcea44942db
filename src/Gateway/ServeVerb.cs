using System.Runtime.InteropServices;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Operations;

namespace LlmGateway.Gateway;

/// <summary>Serving, the default verb: from a configuration to an exit code.</summary>
internal static class ServeVerb
{
    public static async Task<int> RunAsync(LoadedConfiguration configuration, CancellationToken cancellationToken)
    {
        if (!configuration.Errors.IsEmpty)
        {
            CheckVerb.ReportErrors(configuration, Console.Error);
            return ExitCodes.Configuration;
        }

        using var signals = new StopSignals();
        using var systemd = SystemdNotifier.FromEnvironment();
        GatewayHost gateway;
        try
        {
            gateway = new GatewayHost(configuration, TimeProvider.System);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync($"The state directory can't be used: {e.Message}. Set Gateway:StateDirectory to a folder that this user may write to.");
            return ExitCodes.Configuration;
        }

        await using (gateway)
        {
            try
            {
                await gateway.StartAsync(cancellationToken);
            }
            catch (IOException e)
            {
                await Console.Error.WriteLineAsync($"A listener could not bind: {e.Message} Free the address or choose another with --Gateway:Listen=… or --Management:Listen=….");
                return ExitCodes.Unavailable;
            }

            Console.Out.Write(Banner(configuration, gateway));
            await Console.Out.FlushAsync(cancellationToken);
            signals.OnHangUp = gateway.Reload;
            systemd.Ready($"Serving {configuration.Options.Models.Count} models on {gateway.DataUrls.First()}", TimeProvider.System);
            var signal = await signals.First;
            systemd.Stopping();
            await gateway.StopAsync(signal, signals.Second);
        }

        return ExitCodes.Ok;
    }

    private static string Banner(LoadedConfiguration configuration, GatewayHost gateway)
    {
        var catalogue = new ModelCatalogue(configuration.Options);
        var data = gateway.DataUrls.First();
        var lines = new List<string>
        {
            $"LlmGateway {StatusReport.Version}",
            $"  data        {string.Join(", ", gateway.DataUrls)}   (OpenAI clients: base URL {data}/v1)",
            $"  management  {string.Join(", ", gateway.ManagementUrls)}   (token in {gateway.Token.Path})",
            $"  dashboard   {gateway.LoginUrl}   (opens it once)",
        };
        foreach (var model in catalogue.Models)
        {
            var what = model.Options.Kind switch
            {
                ModelKind.Remote => $"{model.Options.Remotes.Count} remote servers",
                ModelKind.Simulator => $"{CheckVerb.Replicas(model)} × {model.Options.Slots} slots, SIMULATED: its answers are babble, no model is behind it",
                _ => $"{CheckVerb.Replicas(model)} × {model.Options.Slots} slots",
            };
            lines.Add($"  model       {model.Name}: {what}");
        }

        lines.AddRange(configuration.Warnings.Select(warning => $"  warning     {warning}"));
        if (!catalogue.Models.IsEmpty)
        {
            var key = configuration.Options.Keys.Count > 0 ? " -H 'Authorization: Bearer YOUR-KEY'" : "";
            lines.Add("Try:");
            lines.Add($$"""  curl -N {{data}}/v1/chat/completions{{key}} -H 'Content-Type: application/json' -d '{"model":"{{catalogue.Models[0].Name}}","stream":true,"messages":[{"role":"user","content":"Hello"}]}'""");
        }

        return string.Join('\n', lines) + "\n";
    }

    /// <summary>SIGTERM, SIGINT and SIGQUIT: the first asks to stop, the second to hurry. SIGHUP, which would end the process, does not.</summary>
    private sealed class StopSignals : IDisposable
    {
        private readonly TaskCompletionSource<string> _first = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly CancellationTokenSource _second = new();
        private readonly List<PosixSignalRegistration> _registrations;

        public StopSignals()
        {
            _registrations = [.. new[] { PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGQUIT }.Select(signal => PosixSignalRegistration.Create(signal, Asked))];
            _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
            {
                context.Cancel = true;
                OnHangUp?.Invoke();
            }));
        }

        /// <summary>What SIGHUP asks for.</summary>
        public Action? OnHangUp { get; set; }

        public Task<string> First => _first.Task;

        public CancellationToken Second => _second.Token;

        public void Dispose()
        {
            _registrations.ForEach(registration => registration.Dispose());
            _second.Dispose();
        }

        private void Asked(PosixSignalContext context)
        {
            context.Cancel = true;
            if (!_first.TrySetResult(context.Signal.ToString()))
            {
                _second.Cancel();
            }
        }
    }
}
