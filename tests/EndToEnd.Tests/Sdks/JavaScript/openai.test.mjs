// What a client with OpenAI's own JavaScript SDK sees of a running gateway. Whoever runs this has started one and says where:
//
//   GATEWAY_URL               http://127.0.0.1:8080
//   GATEWAY_KEY               a key that may use the models below
//   GATEWAY_MODEL             a model that chats
//   GATEWAY_EMBEDDING_MODEL   a model that embeds
//   GATEWAY_SATURATED_MODEL   a model whose queue is full for as long as this runs
//   GATEWAY_BUSY_MODEL        a model with one slot, 20 tokens a second and no queue
//   GATEWAY_BREAKING_MODEL    a model that breaks off after some tokens
//   GATEWAY_TOOLS_MODEL       a model that calls the first tool it is given
//
//   npm ci && node --test
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';

function required(name) {
  return process.env[name] || assert.fail(`the environment variable ${name} is not set`);
}

const model = required('GATEWAY_MODEL');
const embeddingModel = required('GATEWAY_EMBEDDING_MODEL');
const saturatedModel = required('GATEWAY_SATURATED_MODEL');
const busyModel = required('GATEWAY_BUSY_MODEL');
const breakingModel = required('GATEWAY_BREAKING_MODEL');
const toolsModel = required('GATEWAY_TOOLS_MODEL');
const messages = [{ role: 'user', content: 'the water and the light' }];

// No retries: a test must see the gateway's first answer.
function client(apiKey = required('GATEWAY_KEY'), maxRetries = 0) {
  return new OpenAI({ baseURL: new URL('/v1', required('GATEWAY_URL')).href, apiKey, maxRetries, timeout: 60_000 });
}

async function refusal(promise, type) {
  const error = await promise.then(() => assert.fail('was answered, not refused'), (reason) => reason);
  assert.ok(error instanceof type, `${type.name} was expected, not ${error}`);
  return error;
}

test('models.list names the configured models', async () => {
  const ids = [];
  for await (const entry of client().models.list()) {
    assert.equal(entry.object, 'model');
    ids.push(entry.id);
  }
  assert.ok(ids.includes(model), `${model} is not among ${ids}`);
});

test('chat.completions.create answers with a message and its usage', async () => {
  const answer = await client().chat.completions.create({ model, messages, max_tokens: 8 });
  const [choice] = answer.choices;
  assert.equal(answer.object, 'chat.completion');
  assert.equal(choice.message.role, 'assistant');
  assert.ok(choice.message.content.length > 0);
  assert.ok(['stop', 'length'].includes(choice.finish_reason), choice.finish_reason);
  assert.ok(answer.usage.completion_tokens >= 1 && answer.usage.completion_tokens <= 8);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test('chat.completions.create with stream ends with a reason and the usage', async () => {
  const stream = await client().chat.completions.create({
    model, messages, max_tokens: 8, stream: true, stream_options: { include_usage: true },
  });
  let text = '';
  let usage;
  const reasons = [];
  for await (const chunk of stream) {
    assert.equal(chunk.object, 'chat.completion.chunk');
    text += chunk.choices[0]?.delta.content ?? '';
    if (chunk.choices[0]?.finish_reason) reasons.push(chunk.choices[0].finish_reason);
    usage = chunk.usage ?? usage;
  }
  assert.ok(text.length > 0);
  assert.equal(reasons.length, 1);
  assert.ok(['stop', 'length'].includes(reasons[0]), reasons[0]);
  assert.ok(usage.completion_tokens >= 1);
});

test('a stream that is left does not keep the next one from being answered', async () => {
  const stream = await client().chat.completions.create({ model, messages, max_tokens: 2000, stream: true });
  for await (const _ of stream) break; // leaving the loop aborts the request
  const answer = await client().chat.completions.create({ model, messages, max_tokens: 2 });
  assert.ok(answer.choices[0].message.content.length > 0);
});

test('embeddings.create answers with one vector for each input, in order', async () => {
  const answer = await client().embeddings.create({ model: embeddingModel, input: ['the water', 'the server'] });
  assert.deepEqual(answer.data.map((entry) => entry.index), [0, 1]);
  for (const { embedding } of answer.data) {
    assert.ok(embedding.length >= 8);
    assert.ok(embedding.every(Number.isFinite));
    assert.ok(embedding.some((value) => value !== 0));
  }
  assert.notDeepEqual(answer.data[0].embedding, answer.data[1].embedding);
});

test('a wrong key is an AuthenticationError', async () => {
  const error = await refusal(client('sk-wrong').chat.completions.create({ model, messages, max_tokens: 1 }), OpenAI.AuthenticationError);
  assert.equal(error.status, 401);
  assert.equal(error.code, 'invalid_api_key');
});

test('an unknown model is a NotFoundError', async () => {
  const error = await refusal(client().chat.completions.create({ model: 'no-such-model', messages }), OpenAI.NotFoundError);
  assert.equal(error.status, 404);
  assert.equal(error.code, 'model_not_found');
});

test('a full queue is a RateLimitError that says when to come back', async () => {
  const error = await refusal(client().chat.completions.create({ model: saturatedModel, messages, max_tokens: 1 }), OpenAI.RateLimitError);
  assert.equal(error.status, 429);
  assert.equal(error.code, 'queue_full');
  const seconds = Number(error.headers.get('retry-after'));
  assert.ok(seconds >= 1 && seconds <= 30, `retry-after: ${error.headers.get('retry-after')}`);
  assert.ok(Number(error.headers.get('retry-after-ms')) > 0);
});

test('retries wait as long as Retry-After says, and are answered then', async () => {
  const holder = await client().chat.completions.create({ model: busyModel, messages, max_tokens: 20, stream: true });
  const holding = (async () => { for await (const _ of holder); })();
  const answer = await client(undefined, 5).chat.completions.create({ model: busyModel, messages, max_tokens: 1 });
  assert.equal(answer.choices.length, 1);
  await holding;
});

test('an AbortController ends the stream', async () => {
  const abort = new AbortController();
  const stream = await client().chat.completions.create({ model, messages, max_tokens: 4000, stream: true }, { signal: abort.signal });
  let chunks = 0;
  for await (const _ of stream) {
    if (++chunks === 2) abort.abort();
  }
  assert.ok(chunks < 4000);
});

test('a stream that breaks raises an APIError with the code, after the text that came', async () => {
  const stream = await client().chat.completions.create({ model: breakingModel, messages, max_tokens: 50, stream: true });
  let text = '';
  const error = await refusal((async () => { for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''; })(), OpenAI.APIError);
  assert.equal(error.code, 'stream_broken');
  assert.ok(text.length > 0);
});

const tools = [{ type: 'function', function: { name: 'weather', description: 'of a city', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }];

test('tools reach the model, and its call comes back, whole and streamed', async () => {
  const answer = await client().chat.completions.create({ model: toolsModel, messages, tools });
  assert.equal(answer.choices[0].finish_reason, 'tool_calls');
  assert.deepEqual(JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments), { city: 'Zürich' });

  const streamed = await client().chat.completions.stream({ model: toolsModel, messages, tools }).finalChatCompletion();
  assert.equal(streamed.choices[0].message.tool_calls[0].function.name, 'weather');
  assert.deepEqual(JSON.parse(streamed.choices[0].message.tool_calls[0].function.arguments), { city: 'Zürich' });
});

test('tools are no harm to a model that calls none', async () => {
  const answer = await client().chat.completions.create({ model, messages, tools, max_tokens: 4 });
  assert.ok(answer.choices[0].message.content.length > 0);
});

test('responses.create answers whole and streamed', async () => {
  const answer = await client().responses.create({ model, input: 'the water', max_output_tokens: 8 });
  assert.ok(answer.output_text.length > 0);
  assert.ok(answer.usage.output_tokens >= 1);

  let text = '';
  let last;
  for await (const event of await client().responses.create({ model, input: 'the water', max_output_tokens: 8, stream: true })) {
    if (event.type === 'response.output_text.delta') text += event.delta;
    last = event.type;
  }
  assert.ok(text.length > 0);
  assert.equal(last, 'response.completed');
});

test('completions.create answers with text', async () => {
  const answer = await client().completions.create({ model, prompt: 'the water', max_tokens: 4 });
  assert.ok(answer.choices[0].text.length > 0);
});
