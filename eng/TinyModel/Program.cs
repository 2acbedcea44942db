using System.CommandLine;
using LlmGateway.TinyModel;

var output = new Argument<FileInfo>("file") { Description = "The GGUF file to write; an existing one is replaced." };
var preset = new Option<string>("--preset")
{
    Description = "tiny: 0.7 MB, loads at once. small: 8 MB. medium: 113 MB, some milliseconds a token. slow: 562 MB, for long prompts.",
    DefaultValueFactory = _ => "tiny",
}.AcceptOnlyFromAmong([.. ModelShape.Presets.Keys]);
var embedding = new Option<int?>("--n-embd") { Description = "Width of the model; a multiple of 32." };
var layers = new Option<int?>("--layers") { Description = "Number of layers." };
var heads = new Option<int?>("--heads") { Description = "Attention heads; they divide the width into even sizes." };
var kvHeads = new Option<int?>("--kv-heads") { Description = "Heads of keys and values; they divide the heads." };
var feedForward = new Option<int?>("--ff") { Description = "Width of the feed-forward layers; a multiple of 32." };
var vocabulary = new Option<int?>("--vocab") { Description = "Number of tokens. From 2048 on every word of words.txt is one token." };
var context = new Option<int>("--ctx") { Description = "Context length in the metadata.", DefaultValueFactory = _ => 32768 };
var experts = new Option<int>("--experts") { Description = "Experts of a mixture; two of them work on each token." };
var slidingWindow = new Option<int>("--sliding-window") { Description = "Tokens that every second layer looks back (Gemma 2)." };
var weights = new Option<TensorKind>("--weights") { Description = "How the weights are stored.", DefaultValueFactory = _ => TensorKind.F16 };
var seed = new Option<ulong>("--seed") { Description = "Chooses the weights; the same arguments always give the same bytes.", DefaultValueFactory = _ => 1 };
var endWeight = new Option<double>("--eos-weight")
{
    Description = "0: replies run to max_tokens. 3: the end token wins now and then, and replies stop by themselves.",
};
var name = new Option<string>("--name") { Description = "The model's name in the metadata.", DefaultValueFactory = _ => "tiny-random" };
var noTemplate = new Option<bool>("--no-chat-template") { Description = "Leave the chat template out." };

var command = new RootCommand("""
    Writes a random-weight GGUF that the real llama-server loads. The weights are noise and the output is babble: what it is
    for is the server around the model (start-up, health, slots, streaming, cancelling), with no download of any kind.
    """)
{
    output, preset, embedding, layers, heads, kvHeads, feedForward, vocabulary, context, experts, slidingWindow, weights, seed, endWeight, name, noTemplate,
};

command.SetAction(arguments =>
{
    var basis = ModelShape.Presets[arguments.GetRequiredValue(preset)];
    var shape = basis with
    {
        Embedding = arguments.GetValue(embedding) ?? basis.Embedding,
        Layers = arguments.GetValue(layers) ?? basis.Layers,
        Heads = arguments.GetValue(heads) ?? basis.Heads,
        KeyValueHeads = arguments.GetValue(kvHeads) ?? basis.KeyValueHeads,
        FeedForward = arguments.GetValue(feedForward) ?? basis.FeedForward,
        Vocabulary = arguments.GetValue(vocabulary) ?? basis.Vocabulary,
        Context = arguments.GetValue(context),
        Experts = arguments.GetValue(experts),
        SlidingWindow = arguments.GetValue(slidingWindow),
        Weights = arguments.GetValue(weights),
    };
    if (shape.Faults().ToArray() is { Length: > 0 } faults)
    {
        foreach (var fault in faults)
        {
            Console.Error.WriteLine($"tiny-model: {fault}");
        }

        return 2;
    }

    var model = new RandomModel(shape, arguments.GetRequiredValue(name), !arguments.GetValue(noTemplate), arguments.GetValue(seed), arguments.GetValue(endWeight));
    var file = arguments.GetRequiredValue(output);

    // Beside its place first: whoever finds the file finds a whole one.
    var unfinished = file.FullName + ".unfinished";
    using (var stream = new FileStream(unfinished, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 1 << 20))
    {
        model.WriteTo(stream);
    }

    File.Move(unfinished, file.FullName, overwrite: true);
    Console.Error.WriteLine($"{file}: {new FileInfo(file.FullName).Length} bytes, {shape}");
    return 0;
});

return command.Parse(args).Invoke();
