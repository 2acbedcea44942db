using System.Net.Sockets;
using System.Threading.Tasks.Sources;

namespace LlmGateway.Gateway.Forwarding.Wire;

/// <summary>Receives from a socket without an allocation a call, and without an exception when the connection is cut. One call at a time.</summary>
internal sealed class SocketReceiver(Socket socket) : SocketAsyncEventArgs(true), IValueTaskSource<int>
{
    /// <summary>What a call gives when the connection has failed; <see cref="SocketAsyncEventArgs.SocketError"/> says how.</summary>
    public const int Failed = -1;

    private ManualResetValueTaskSourceCore<int> _core;

    /// <summary>Bytes received: 0 at the end of the connection; <see cref="Failed"/> when it failed.</summary>
    public ValueTask<int> ReceiveAsync(Memory<byte> buffer) => Begin(buffer) ? EndAsync() : ValueTask.FromResult(Result);

    /// <summary>Begins a call. False when something has come at once.</summary>
    public bool Begin(Memory<byte> buffer)
    {
        _core.Reset();
        SetBuffer(buffer);
        try
        {
            return socket.ReceiveAsync(this);
        }
        catch (ObjectDisposedException)
        {
            SocketError = SocketError.OperationAborted;
            return false;
        }
    }

    /// <summary>What comes of a call that has begun, as <see cref="ReceiveAsync"/> gives it. Once.</summary>
    public ValueTask<int> EndAsync() => new(this, _core.Version);

    public int GetResult(short token) => _core.GetResult(token);

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    protected override void OnCompleted(SocketAsyncEventArgs e) => _core.SetResult(Result);

    private int Result => SocketError == SocketError.Success ? BytesTransferred : Failed;
}
