using System.Globalization;
using LlmGateway.Simulator.CommandLine;
using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.Hosting;

/// <summary>Pretends to load the model: checks its file as the real server would, then takes the time that it was told to.</summary>
internal sealed class ModelLoading(ServerSettings settings, FaultSwitch faults, ServerLog log, TimeProvider time)
{
    private const int Steps = 10;

    /// <returns>False when the model cannot be loaded.</returns>
    public async Task<bool> RunAsync(CancellationToken cancellationToken)
    {
        var load = faults.Current;
        log.Info("srv", "load_model", $"loading model '{settings.Model ?? settings.ModelId}'");
        if (settings.Model is { } path && Problem(path) is { } problem)
        {
            log.Error("", "gguf_init_from_file", problem);
            log.Error("", "llama_model_load_from_file_impl", "failed to load model");
            log.Error("srv", "load_model", $"failed to load model, '{path}'");
            return false;
        }

        for (var step = 1; step <= Steps && load.LoadMs > 0; step++)
        {
            if (load.LoadStallAt is { } stall && stall <= (step - 0.5) / Steps)
            {
                break;
            }

            if (load.ExitAt == ExitMoment.Load && step > Steps / 2)
            {
                ProcessExit.ByFault(load);
            }

            await Task.Delay(TimeSpan.FromMilliseconds(load.LoadMs / (double)Steps), time, cancellationToken).ConfigureAwait(false);
            log.Info("srv", "load_model", string.Create(CultureInfo.InvariantCulture, $"progress = {(double)step / Steps:F2}"));
        }

        if (load.ExitAt == ExitMoment.Load)
        {
            ProcessExit.ByFault(load);
        }

        while (faults.Changed is var changed && faults.Current.LoadStallAt is not null)
        {
            await changed.WaitAsync(cancellationToken).ConfigureAwait(false);
        }

        log.Info("srv", "load_model", $"initializing, n_slots = {settings.SlotCount}, n_ctx_slot = {settings.SlotContext}, kv_unified = '{(settings.UnifiedContext ? "true" : "false")}'");
        log.Info("srv", "llama_server", "model loaded");
        return true;
    }

    private static string? Problem(string path)
    {
        try
        {
            using var file = File.OpenRead(path);
            Span<byte> magic = stackalloc byte[4];
            return file.ReadAtLeast(magic, magic.Length, throwOnEndOfStream: false) == magic.Length && magic.SequenceEqual("GGUF"u8)
                ? null
                : $"invalid magic characters: '{System.Text.Encoding.Latin1.GetString(magic)}', expected 'GGUF'";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"failed to open GGUF file '{path}' ({(e is UnauthorizedAccessException ? "Permission denied" : "No such file or directory")})";
        }
    }
}
