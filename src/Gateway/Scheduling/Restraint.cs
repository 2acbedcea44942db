using System.Globalization;
using LlmGateway.Gateway.Scheduling.Breaking;

namespace LlmGateway.Gateway.Scheduling;

/// <summary>Says to a person why a server that takes work is not given as much as it has slots. Pure.</summary>
internal static class Restraint
{
    /// <param name="slots">The server's slots.</param>
    /// <param name="breaker">Its breaker.</param>
    /// <param name="saturated">Slots that are left empty because it bears no more.</param>
    /// <param name="isHeld">True while the whole queue grants nothing.</param>
    /// <param name="now">Time as the breaker knows it.</param>
    /// <returns>Whole sentences, or null when nothing but its own work limits it.</returns>
    public static string? Of(BackendSlots slots, Breaker breaker, int saturated, bool isHeld, TimeSpan now)
    {
        string?[] reasons =
        [
            isHeld ? "Its model is held: nothing new is given out until that is over." : null,
            OfBreaker(slots, breaker, now),
            saturated > 0 ? Text($"Its tokens have become slow or its requests fail: {saturated} of its {slots.Total} slots are left empty.") : null,
            slots.Quarantined > 0 ? Text($"Given up and not yet seen idle: {slots.Quarantined} of its {slots.Total} slots.") : null,
        ];
        return string.Join(' ', reasons.Where(static reason => reason is not null)) is { Length: > 0 } text ? text : null;
    }

    private static string? OfBreaker(BackendSlots slots, Breaker breaker, TimeSpan now) => breaker.State switch
    {
        BreakerState.Open when breaker.OpenUntil is { } until && until > now => Text($"Too many of its requests failed: it is left alone for another {Math.Ceiling((until - now).TotalSeconds)} s."),
        BreakerState.Open => "Its breaker is open.",
        BreakerState.HalfOpen => "It has ended or failed lately: one request tries it before it gets more.",
        _ when breaker.Capacity(slots.Total, slots.Taken, now) is var open && open < slots.Total => Text($"It has just come back: {open} of its {slots.Total} slots are open so far."),
        _ => null,
    };

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
