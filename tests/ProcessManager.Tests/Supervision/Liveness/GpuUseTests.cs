using System.Collections.Immutable;
using LlmGateway.ProcessManager.Sampling;
using LlmGateway.ProcessManager.Supervision.Liveness;

namespace LlmGateway.ProcessManager.Tests.Supervision.Liveness;

public sealed class GpuUseTests
{
    private const int Ours = 10;
    private const int Another = 20;

    public static TheoryData<string, GpuSample[], bool> Looks => new()
    {
        { "no GPU", [], false },
        { "its driver tells nothing", [Gpu(null)], false },
        { "only a desktop", [Gpu(0.03)], false },
        { "at work, for whom is not told", [Gpu(0.0), Gpu(0.9)], true },
        { "at work for us", [Gpu(0.9, (Ours, 0.9))], true },
        { "at work for another, while ours stands still", [Gpu(0.9, (Another, 0.9), (Ours, 0.0))], false },
        { "at work, we are there, shares are not told", [Gpu(0.9, (Another, null), (Ours, null))], true },
        { "another GPU is at work, ours is not", [Gpu(0.9, (Another, 0.9)), Gpu(0.0, (Ours, 0.0))], false },
        { "one of two is at work for us", [Gpu(0.0, (Ours, 0.0)), Gpu(0.5, (Ours, 0.5))], true },
        { "it knows processes by other numbers", [Gpu(0.9, (Another, 0.9))], true },
    };

    [Theory]
    [MemberData(nameof(Looks))]
    public void IsBusy_WhatTheDriverTells_DoubtCountsForTheProcess(string what, GpuSample[] gpus, bool expected) =>
        Assert.True(expected == GpuUse.IsBusy([.. gpus], [Ours]), what);

    [Fact]
    public void IsBusy_ProcessHasNoGpuOpen_IsNot() => Assert.False(GpuUse.IsBusy([Gpu(1.0)], []));

    private static GpuSample Gpu(double? utilization, params (int Pid, double? Share)[] processes) => new("0", null, utilization, null, null)
    {
        Processes = processes.Length == 0 ? null : processes.ToImmutableDictionary(process => process.Pid, process => process.Share),
    };
}
