namespace LlmGateway.ProcessManager.Launching;

/// <summary>Reads one output stream of a child until it ends, on a thread of its own, and never waits for anybody.</summary>
/// <remarks>
/// An unread pipe stops a llama-server dead after 64 KiB, with <c>/health</c> still green. Therefore a thread and not a task: when the
/// thread pool starves, backends must not.
/// </remarks>
internal sealed class OutputPump
{
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Stream _stream;
    private readonly LineCutter _lines;
    private volatile bool _abandoned;

    private OutputPump(Stream stream, Action<string> emit) => (_stream, _lines) = (stream, new(emit));

    /// <summary>Completes when the stream has ended: all who held its other end are gone.</summary>
    public Task Ended => _ended.Task;

    public static OutputPump Start(Stream stream, string name, Action<string> emit)
    {
        var pump = new OutputPump(stream, emit);
        new Thread(pump.Run, maxStackSize: 256 * 1024) { IsBackground = true, Name = name }.Start();
        return pump;
    }

    /// <summary>Emits nothing more. The thread ends with the stream: a process that left the group may keep that open for longer.</summary>
    public void Abandon() => _abandoned = true;

    private void Run()
    {
        var buffer = new byte[16 * 1024];
        try
        {
            using (_stream)
            {
                int read;
                while ((read = _stream.Read(buffer)) > 0)
                {
                    if (!_abandoned)
                    {
                        _lines.Add(buffer.AsSpan(0, read));
                    }
                }
            }

            if (!_abandoned)
            {
                _lines.End();
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or OperationCanceledException)
        {
            // The pipe broke: the same as its end.
        }
        finally
        {
            _ended.TrySetResult();
        }
    }
}
