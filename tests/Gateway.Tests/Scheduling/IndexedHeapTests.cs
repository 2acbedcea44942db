using CsCheck;
using LlmGateway.Gateway.Scheduling.Order;

namespace LlmGateway.Gateway.Tests.Scheduling;

public sealed class IndexedHeapTests
{
    private enum Change
    {
        Add,
        Remove,
        Move,
        Rebuild,
    }

    // Against a sorted list: after any changes the same comes out in the same order, from anywhere.
    [Fact]
    public void AnyChanges_WhatComesOutFirst_IsTheLeast() =>
        Gen.Select(Gen.Enum<Change>(), Gen.Int[0, 30], Gen.Int[0, 50]).Array[0, 200].Sample(changes =>
        {
            var heap = new IndexedHeap<Item, ByKey>();
            var items = Enumerable.Range(0, 31).Select(number => new Item(number)).ToArray();
            var inside = new HashSet<Item>();
            foreach (var (change, at, key) in changes)
            {
                var item = items[at];
                switch (change)
                {
                    case Change.Add when inside.Add(item):
                        item.Key = key;
                        heap.Add(item);
                        break;
                    case Change.Remove:
                        inside.Remove(item);
                        heap.Remove(item);
                        break;
                    case Change.Move:
                        item.Key = key;
                        heap.Moved(item);
                        break;
                    case Change.Rebuild:
                        heap.Rebuild(each => each.Key = (each.Key * key) % 51);
                        break;
                }

                var expected = inside.OrderBy(each => each.Key).ThenBy(each => each.Number).ToArray();
                var peeked = new Item?[8];
                var found = heap.Peek(peeked);
                Assert.Equal((expected.Length, expected.FirstOrDefault()), (heap.Count, heap.First));
                Assert.Equal(expected.Take(8), peeked.Take(found));
                Assert.All(items, each => Assert.Equal(inside.Contains(each), each.Place > 0));
            }
        });

    private sealed class Item(int number)
    {
        public int Number { get; } = number;

        public int Key { get; set; }

        public int Place;
    }

    private readonly struct ByKey : IHeapOrder<Item>
    {
        public static bool Before(Item a, Item b) => (a.Key, a.Number).CompareTo((b.Key, b.Number)) < 0;

        public static ref int Place(Item item) => ref item.Place;
    }
}
