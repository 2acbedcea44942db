using ArchUnitNET.Domain;
using ArchUnitNET.Loader;

namespace LlmGateway.Architecture.Tests.Rooms;

/// <summary>Reads from built assemblies who knows whom: signatures, attributes and what happens inside methods.</summary>
internal static class Arrows
{
    public static IReadOnlyList<Arrow> Of(params System.Reflection.Assembly[] assemblies) =>
    [
        .. from type in new ArchLoader().LoadAssemblies(assemblies).Build().Types
           from dependency in type.Dependencies
           let target = dependency.Target
           select new Arrow(type.FullName, NamespaceOf(type), target.FullName, NamespaceOf(target), IsOption(target)) into arrow
           where arrow.Type != arrow.TargetType
           group arrow by arrow into same
           select same.Key,
    ];

    private static bool IsOption(IType type) => type is ArchUnitNET.Domain.Enum || type.Name.EndsWith("Options", StringComparison.Ordinal);

    private static string NamespaceOf(IType type) => type.Namespace?.FullName ?? ""; // a type parameter has none
}
