using System.Collections.Immutable;

namespace LlmGateway.ProcessManager.Memory;

/// <summary>Who has been promised how much memory of which device. A value: each step makes the next one; whoever owns the present one decides alone.</summary>
/// <remarks>
/// Devices are named by the owner: <see cref="Ram"/>, and GPUs as the sampler names them. A device without a budget has none: nothing can be
/// reserved on it. Whom to evict when something does not fit is the owner's decision; <see cref="Shortage"/> tells how much is missing where.
/// </remarks>
public sealed class MemoryLedger
{
    /// <summary>The name of the machine's own memory.</summary>
    public const string Ram = "ram";

    private readonly ImmutableSortedDictionary<string, long> _budgets;
    private readonly ImmutableDictionary<string, ImmutableSortedDictionary<string, long>> _reservations;

    private MemoryLedger(
        ImmutableSortedDictionary<string, long> budgets, ImmutableDictionary<string, ImmutableSortedDictionary<string, long>> reservations) =>
        (_budgets, _reservations) = (budgets, reservations);

    /// <summary>No budget, no reservation.</summary>
    public static MemoryLedger Empty { get; } =
        new(ImmutableSortedDictionary.Create<string, long>(StringComparer.Ordinal), ImmutableDictionary.Create<string, ImmutableSortedDictionary<string, long>>(StringComparer.Ordinal));

    /// <summary>Devices that have a budget.</summary>
    public IEnumerable<string> Devices => _budgets.Keys;

    /// <summary>Who has reserved something.</summary>
    public IEnumerable<string> Holders => _reservations.Keys;

    /// <summary>The same reservations under another budget; it may be less than what is reserved already, which then only shrinks.</summary>
    /// <param name="device">The device.</param>
    /// <param name="bytes">All that may be reserved on it; at least 0.</param>
    public MemoryLedger WithBudget(string device, long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        return new(_budgets.SetItem(device, bytes), _reservations);
    }

    /// <summary>The device's budget; 0 when it has none.</summary>
    public long Budget(string device) => _budgets.GetValueOrDefault(device);

    /// <summary>What is reserved on a device, by all.</summary>
    public long Reserved(string device) => _reservations.Values.Sum(one => one.GetValueOrDefault(device));

    /// <summary>What is left on a device; below 0 when its budget has shrunk.</summary>
    public long Free(string device) => Budget(device) - Reserved(device);

    /// <summary>What one holder has reserved, by device; empty when nothing.</summary>
    public ImmutableSortedDictionary<string, long> Of(string holder) =>
        _reservations.GetValueOrDefault(holder) ?? ImmutableSortedDictionary.Create<string, long>(StringComparer.Ordinal);

    /// <summary>How many bytes are missing on each device for a reservation, which replaces what the holder has; empty when it fits.</summary>
    public ImmutableSortedDictionary<string, long> Shortage(string holder, IReadOnlyDictionary<string, long> bytes)
    {
        ArgumentNullException.ThrowIfNull(bytes);
        var has = Of(holder);
        return bytes
            .Select(wanted => (Device: wanted.Key, Missing: wanted.Value - has.GetValueOrDefault(wanted.Key) - Free(wanted.Key)))
            .Where(one => one.Missing > 0 && bytes[one.Device] > has.GetValueOrDefault(one.Device)) // to give back always fits
            .ToImmutableSortedDictionary(one => one.Device, one => one.Missing, StringComparer.Ordinal);
    }

    /// <summary>Reserves on all devices or on none; replaces what the holder has.</summary>
    /// <param name="holder">Who: a backend, say.</param>
    /// <param name="bytes">How much of which device; at least 0 each.</param>
    /// <param name="next">The ledger afterwards; this one when it does not fit.</param>
    public bool TryReserve(string holder, IReadOnlyDictionary<string, long> bytes, out MemoryLedger next)
    {
        ArgumentException.ThrowIfNullOrEmpty(holder);
        ArgumentNullException.ThrowIfNull(bytes);
        foreach (var size in bytes.Values)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(size, nameof(bytes));
        }

        var fits = Shortage(holder, bytes).IsEmpty;
        next = fits ? new(_budgets, _reservations.SetItem(holder, bytes.ToImmutableSortedDictionary(StringComparer.Ordinal))) : this;
        return fits;
    }

    /// <summary>Gives all back that a holder has; nothing when it has nothing.</summary>
    public MemoryLedger Release(string holder) => new(_budgets, _reservations.Remove(holder));
}
