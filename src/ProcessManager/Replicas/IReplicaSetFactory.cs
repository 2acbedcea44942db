using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Replicas;

/// <summary>Makes replica sets that share one launcher, one pool of ports and one set of start permits.</summary>
public interface IReplicaSetFactory
{
    /// <summary>Makes a set; nothing is launched before <see cref="IReplicaSet.Start"/>.</summary>
    /// <exception cref="ArgumentException">The options can't be worked with: no model or program, an empty range of ports, a probe that asks nothing.</exception>
    IReplicaSet Create(ReplicaSetOptions options, IReplicaTraffic traffic);

    /// <summary>The final command line of one replica, program first, as it would be launched on <paramref name="port"/>. Holds no secret.</summary>
    ImmutableArray<string> Preview(ReplicaSetOptions options, int index, int port);
}
