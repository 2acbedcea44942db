using LlmGateway.Gateway.Backends;
using LlmGateway.Gateway.Models;
using LlmGateway.Gateway.Requests;

namespace LlmGateway.Gateway.Operations;

/// <summary><c>/v1/models</c>: the configured models that the caller may use, with their state under <c>meta</c>.</summary>
/// <remarks>OpenAI's and Anthropic's shape in one: their fields have different names, and each client takes its own.</remarks>
internal sealed class ModelList(LiveCatalogue catalogue, BackendRegistry registry, DateTimeOffset startedAt)
{
    public IResult All(Caller caller)
    {
        Model[] models = [.. catalogue.Current.Models.Where(caller.Allows)];
        return Results.Json(new
        {
            @object = "list",
            data = models.Select(model => Entry(model, model.Name)),
            has_more = false,
            first_id = models.FirstOrDefault()?.Name,
            last_id = models.LastOrDefault()?.Name,
        });
    }

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
            type = "model",
            display_name = id,
            created_at = startedAt.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", System.Globalization.CultureInfo.InvariantCulture),
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
