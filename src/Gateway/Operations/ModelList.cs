using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Operations;

/// <summary><c>/v1/models</c>: the configured models that the caller may use, with their state under <c>meta</c>.</summary>
internal sealed class ModelList(LiveCatalogue catalogue, BackendRegistry registry, DateTimeOffset startedAt)
{
    public IResult All(Caller caller) => Results.Json(new { @object = "list", data = catalogue.Current.Models.Where(caller.Allows).Select(model => Entry(model, model.Name)) });

    public IResult One(Caller caller, string id) => catalogue.Current.Find(id) switch
    {
        null => new ApiErrorResult(ApiErrors.ModelNotFound),
        { } model when !caller.Allows(model) => new ApiErrorResult(ApiErrors.ModelNotAllowed(model.Name)),
        { } model => Results.Json(Entry(model, id)),
    };

    private object Entry(Model model, string id)
    {
        var snapshot = registry.Snapshot(model.Name);
        return new
        {
            id,
            @object = "model",
            created = startedAt.ToUnixTimeSeconds(),
            owned_by = "llmgateway",
            meta = new
            {
                state = StatusReporter.StateOf(snapshot),
                aliases = model.Options.Aliases,
                backends = snapshot.Entries.Length,
                ready = snapshot.Entries.Count(entry => entry.Condition == BackendCondition.Ready),
                slots = model.ConfiguredSlots,
            },
        };
    }
}
