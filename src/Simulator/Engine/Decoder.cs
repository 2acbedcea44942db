using System.Text;
using LlmGateway.Simulator.CommandLine;
using LlmGateway.Simulator.Hosting;
using LlmGateway.Simulator.Injection;

namespace LlmGateway.Simulator.Engine;

/// <summary>Runs generations: slot, prompt batches, tokens at their pace.</summary>
internal sealed class Decoder(ServerSettings settings, FaultSwitch faults, SlotPool pool, EngineCounters counters, ServerLog log, TimeProvider time)
    : IDisposable
{
    private readonly CancellationTokenSource _stopping = new();
    private int _contextInUse;
    private long _lastResult;
    private int _streams;

    /// <summary>When a stream's token was made, or the engine last asked for its state. A non-streaming answer looks for its client only after a second without any.</summary>
    public long LastResult => Volatile.Read(ref _lastResult);

    /// <summary>Streams that hold a slot.</summary>
    public int ActiveStreams => Volatile.Read(ref _streams);

    /// <summary>Stops all generation for good; the requests in flight are left hanging, as after a SIGTERM.</summary>
    public void Stop() => _stopping.Cancel();

    public void Dispose() => _stopping.Dispose();

    public bool IsStopping => _stopping.IsCancellationRequested;

    /// <summary>A result passed the queue that all answers wait on.</summary>
    public void TouchResults() => Volatile.Write(ref _lastResult, time.GetTimestamp());

    /// <summary>Runs one generation to its end.</summary>
    /// <exception cref="AbandonedException">The client has gone and the server has noticed.</exception>
    /// <exception cref="StoppedException">The process is stopping and this stream was pinged for the last time.</exception>
    /// <exception cref="ContextFullException">The slots' common context is full.</exception>
    public async Task RunAsync(Generation generation, IGenerationSink sink, Pacer pacer)
    {
        var slot = await pool.AcquireAsync(generation).ConfigureAwait(false);
        var reserved = 0;
        if (generation.Stream)
        {
            Interlocked.Increment(ref _streams);
        }

        try
        {
            generation.LastPing = time.GetTimestamp();
            log.Info("slot", "launch_slot_", $"id  {slot.Id} | task {generation.TaskId} | processing task, is_child = 0");
            await sink.GrantedAsync(generation).ConfigureAwait(false);
            Reserve(generation.Prompt.Length);
            await PrefillAsync(generation, sink, pacer).ConfigureAwait(false);
            counters.PromptDone(generation);
            if (generation.MaxTokens != 0)
            {
                await DecodeAsync(slot, generation, sink, pacer, () => Reserve(1)).ConfigureAwait(false);
            }

            counters.AnswerDone(generation);
            LogTimings(slot, generation);
        }
        finally
        {
            Interlocked.Add(ref _contextInUse, -reserved);
            if (generation.Stream)
            {
                Interlocked.Decrement(ref _streams);
            }

            log.Info("slot", "release", $"id  {slot.Id} | task {generation.TaskId} | stop processing: n_tokens = {slot.Held.Count}, truncated = {(generation.Truncated ? 1 : 0)}");
            pool.Release(slot);
            TouchResults();
        }

        await sink.EndedAsync(generation).ConfigureAwait(false);

        void Reserve(int tokens)
        {
            reserved += tokens;
            if (Interlocked.Add(ref _contextInUse, tokens) > settings.SlotContext && settings.UnifiedContext)
            {
                throw new ContextFullException();
            }
        }
    }

    private async Task PrefillAsync(Generation generation, IGenerationSink sink, Pacer pacer)
    {
        var pace = faults.Current;
        var start = time.GetTimestamp();
        var evaluated = 0;
        var missing = generation.Prompt.Length - generation.CachedTokens;
        while (evaluated < missing)
        {
            // A batch is never interrupted: a client that leaves is noticed behind it.
            evaluated = Math.Min(missing, evaluated + settings.BatchSize);
            var due = pace.ServiceMs > 0 ? TimeSpan.Zero : TimeSpan.FromSeconds(evaluated / pace.PromptTps);
            await WaitAsync(start, due, generation, sink, pacer).ConfigureAwait(false);
            generation.EvaluatedTokens = evaluated;
            generation.PromptMilliseconds = time.GetElapsedTime(start).TotalMilliseconds;
            ThrowIfAbandoned(sink);
            await sink.PromptProgressAsync(generation).ConfigureAwait(false);
        }

        if (generation.MaxTokens == 0 && pace.ServiceMs > 0)
        {
            await WaitAsync(start, TimeSpan.FromMilliseconds(pace.ServiceMs), generation, sink, pacer).ConfigureAwait(false);
        }
    }

    private async Task DecodeAsync(Slot slot, Generation generation, IGenerationSink sink, Pacer pacer, Action reserve)
    {
        var start = time.GetTimestamp();
        var said = Babble.AlreadySaid(generation.Prompt);
        var hash = Tokenizer.Hash(generation.Prompt.AsSpan(..^said)) + (ulong)generation.Index;
        var asked = generation.MaxTokens >= 0 ? generation.MaxTokens : settings.Predict >= 0 ? settings.Predict : -1;
        var room = settings.SlotContext - generation.Prompt.Length;
        var most = Math.Min(asked >= 0 ? asked : faults.Current.DefaultTokens, room);
        generation.Reason = asked >= 0 || most == room ? StopReason.Limit : StopReason.EndOfText;
        generation.Truncated = most == room;
        for (var i = 0; i < most; i++)
        {
            // The rate is read at each token, so that it can be changed under a running stream; the schedule stays absolute in between.
            var pace = faults.Current;
            var due = pace.ServiceMs > 0 ? TimeSpan.FromMilliseconds(pace.ServiceMs * (i + 1.0) / most) : TimeSpan.FromSeconds(i / pace.TokenRate);
            await WaitAsync(start, due, generation, sink, pacer).ConfigureAwait(false);
            ThrowIfAbandoned(sink);
            reserve();
            var piece = Babble.At(hash, said + i);
            var text = pace.SplitUtf8 ? Babble.Text(piece) + "é漢🙂" : Babble.Text(piece);
            generation.Predicted = i + 1;
            generation.PredictedMilliseconds = time.GetElapsedTime(start).TotalMilliseconds;
            generation.Tokens.Add(Babble.Token(piece));
            generation.Text.Append(text);
            pool.Hold(slot, Babble.Token(piece));
            if (StopWordAtEnd(generation) is { } word)
            {
                generation.Text.Length -= word.Length;
                (generation.Reason, generation.StopWord, generation.Truncated) = (StopReason.Word, word, false);
                return;
            }

            if (generation.Stream)
            {
                TouchResults();
            }

            await sink.TokenAsync(generation, text).ConfigureAwait(false);
        }
    }

    /// <summary>Waits until <paramref name="due"/> after <paramref name="start"/>, longer while the engine is frozen, pinging on the way.</summary>
    private async ValueTask WaitAsync(long start, TimeSpan due, Generation generation, IGenerationSink sink, Pacer pacer)
    {
        var silentSince = time.GetTimestamp();
        while (true)
        {
            var changed = faults.Changed;
            var now = faults.Current;
            var halted = now.Engine != EngineMode.Running || IsStopping;
            var left = halted ? Timeout.InfiniteTimeSpan : due - time.GetElapsedTime(start);
            if (!halted && left <= TimeSpan.Zero)
            {
                return;
            }

            // The server's own pings follow a silence; those of the fault keep their period whatever else is sent.
            var (interval, since) = now.CommentMs > 0 && sink.PingInterval != Timeout.InfiniteTimeSpan
                ? (TimeSpan.FromMilliseconds(now.CommentMs), generation.LastPing)
                : (sink.PingInterval, silentSince);
            var ping = interval == Timeout.InfiniteTimeSpan ? interval : interval - time.GetElapsedTime(since);
            if (ping != Timeout.InfiniteTimeSpan && ping <= TimeSpan.Zero)
            {
                await sink.PingAsync().ConfigureAwait(false);
                if (IsStopping)
                {
                    throw new StoppedException();
                }

                silentSince = generation.LastPing = time.GetTimestamp();
                continue;
            }

            if (halted)
            {
                await HaltedAsync(changed, ping, sink).ConfigureAwait(false);
            }
            else
            {
                await pacer.WaitAsync(ping != Timeout.InfiniteTimeSpan && ping < left ? ping : left).ConfigureAwait(false);
            }
        }
    }

    // Nothing moves: wait for a change, the stop, the next ping, or (only when stopping) the client's end.
    private async Task HaltedAsync(Task changed, TimeSpan ping, IGenerationSink sink)
    {
        const int LookForClientMs = 50;
        var slice = IsStopping ? TimeSpan.FromMilliseconds(LookForClientMs) : ping;
        if (ping != Timeout.InfiniteTimeSpan && ping < slice)
        {
            slice = ping;
        }

        try
        {
            await changed.WaitAsync(slice, time, IsStopping ? CancellationToken.None : _stopping.Token).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
        }
        catch (OperationCanceledException)
        {
        }

        if (IsStopping)
        {
            ThrowIfAbandoned(sink);
        }
    }

    private static void ThrowIfAbandoned(IGenerationSink sink)
    {
        if (sink.IsAbandoned)
        {
            throw new AbandonedException();
        }
    }

    private static string? StopWordAtEnd(Generation generation)
    {
        foreach (var word in generation.StopWords)
        {
            if (word.Length > 0 && EndsWith(generation.Text, word))
            {
                return word;
            }
        }

        return null;
    }

    private static bool EndsWith(StringBuilder text, string word)
    {
        for (var i = 1; i <= word.Length; i++)
        {
            if (text.Length < i || text[^i] != word[^i])
            {
                return false;
            }
        }

        return true;
    }

    private void LogTimings(Slot slot, Generation generation)
    {
        if (log.IsQuiet)
        {
            return;
        }

        var prompt = Math.Max(1, generation.EvaluatedTokens);
        var predicted = Math.Max(1, generation.Predicted);
        log.Info("slot", "print_timing", string.Create(System.Globalization.CultureInfo.InvariantCulture, $"id  {slot.Id} | task {generation.TaskId} | prompt eval time = {generation.PromptMilliseconds,10:F2} ms / {generation.EvaluatedTokens,5} tokens ({generation.PromptMilliseconds / prompt,8:F2} ms per token)"));
        log.Info("slot", "print_timing", string.Create(System.Globalization.CultureInfo.InvariantCulture, $"id  {slot.Id} | task {generation.TaskId} |        eval time = {generation.PredictedMilliseconds,10:F2} ms / {generation.Predicted,5} tokens ({generation.PredictedMilliseconds / predicted,8:F2} ms per token)"));
    }
}

/// <summary>The client has gone.</summary>
internal sealed class AbandonedException : Exception;

/// <summary>The process stops; the stream ends without its end.</summary>
internal sealed class StoppedException : Exception;

/// <summary>The slots' common context is full.</summary>
internal sealed class ContextFullException : Exception;
