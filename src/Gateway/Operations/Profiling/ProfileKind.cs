namespace LlmGateway.Gateway.Operations.Profiling;

/// <summary>What can be looked at under <c>/debug/</c>. One of a kind at a time.</summary>
internal enum ProfileKind
{
    /// <summary>CPU samples of all threads.</summary>
    Trace,

    /// <summary>What is on the heap, by type. Costs a full collection.</summary>
    GcHeap,

    /// <summary>Where each thread stands.</summary>
    Stacks,

    /// <summary>What is allocated, by type.</summary>
    Allocations,

    /// <summary>Which locks are waited for.</summary>
    Contention,

    /// <summary>The runtime's numbers, once a second.</summary>
    Counters,
}
