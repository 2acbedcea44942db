namespace LlmGateway.Gateway.Scheduling.Order;

/// <summary>How a heap orders its items, and where each keeps its place in it.</summary>
internal interface IHeapOrder<T>
{
    /// <summary>True when <paramref name="a"/> comes out before <paramref name="b"/>.</summary>
    static abstract bool Before(T a, T b);

    /// <summary>The item's place, 1 for the first; 0 while it is in no heap.</summary>
    static abstract ref int Place(T item);
}

/// <summary>A binary heap whose items know their place: adding, moving and taking out any of them costs O(log n). Not safe for threads.</summary>
internal sealed class IndexedHeap<T, TOrder>
    where T : class
    where TOrder : IHeapOrder<T>
{
    /// <summary>Most items that <see cref="Peek"/> finds.</summary>
    public const int MostPeeked = 32;

    private T[] _items = new T[16];

    public int Count { get; private set; }

    /// <summary>The item that comes out first, or null.</summary>
    public T? First => Count > 0 ? _items[0] : null;

    public void Add(T item)
    {
        if (Count == _items.Length)
        {
            Array.Resize(ref _items, Count * 2);
        }

        Set(Count++, item);
        Up(Count - 1);
    }

    /// <summary>Takes an item out; nothing happens when it is not there.</summary>
    public void Remove(T item)
    {
        var at = TOrder.Place(item) - 1;
        if (at < 0)
        {
            return;
        }

        TOrder.Place(item) = 0;
        var last = _items[--Count];
        _items[Count] = null!;
        if (at < Count)
        {
            Set(at, last);
            Moved(last);
        }
    }

    /// <summary>Puts an item whose order has changed where it belongs now.</summary>
    public void Moved(T item)
    {
        var at = TOrder.Place(item) - 1;
        if (at >= 0)
        {
            Up(at);
            Down(TOrder.Place(item) - 1);
        }
    }

    /// <summary>Brings all items in order after the order of any number of them has changed, by <paramref name="change"/>: O(n).</summary>
    public void Rebuild(Action<T> change)
    {
        for (var i = 0; i < Count; i++)
        {
            change(_items[i]);
        }

        for (var i = (Count / 2) - 1; i >= 0; i--)
        {
            Down(i);
        }
    }

    /// <summary>The items that come out first, in order, without taking them out: O(k²) for k items, whatever the size of the heap.</summary>
    /// <returns>How many were found: at most the length of <paramref name="into"/>, and at most <see cref="MostPeeked"/>.</returns>
    public int Peek(Span<T?> into)
    {
        // Whatever comes next is a child of one that has come: only those are looked at.
        Span<int> open = stackalloc int[MostPeeked + 2];
        var opened = 0;
        var found = 0;
        if (Count > 0)
        {
            open[opened++] = 0;
        }

        while (opened > 0 && found < into.Length && found < MostPeeked)
        {
            var best = 0;
            for (var i = 1; i < opened; i++)
            {
                best = TOrder.Before(_items[open[i]], _items[open[best]]) ? i : best;
            }

            var at = open[best];
            open[best] = open[--opened];
            into[found++] = _items[at];
            for (var child = (2 * at) + 1; child <= (2 * at) + 2 && child < Count; child++)
            {
                open[opened++] = child;
            }
        }

        return found;
    }

    private void Up(int at)
    {
        var item = _items[at];
        while (at > 0 && TOrder.Before(item, _items[(at - 1) / 2]))
        {
            Set(at, _items[(at - 1) / 2]);
            at = (at - 1) / 2;
        }

        Set(at, item);
    }

    private void Down(int at)
    {
        var item = _items[at];
        while (true)
        {
            var child = (2 * at) + 1;
            if (child + 1 < Count && TOrder.Before(_items[child + 1], _items[child]))
            {
                child++;
            }

            if (child >= Count || !TOrder.Before(_items[child], item))
            {
                break;
            }

            Set(at, _items[child]);
            at = child;
        }

        Set(at, item);
    }

    private void Set(int at, T item)
    {
        _items[at] = item;
        TOrder.Place(item) = at + 1;
    }
}
