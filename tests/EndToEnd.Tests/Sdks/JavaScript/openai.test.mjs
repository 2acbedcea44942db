// What a client with OpenAI's own JavaScript SDK sees of a running gateway. Whoever runs this has started one and says where:
//
//   GATEWAY_URL               http://127.0.0.1:8080
//   GATEWAY_KEY               a key that may use the models below
//   GATEWAY_MODEL             a model that chats
//   GATEWAY_EMBEDDING_MODEL   a model that embeds
//   GATEWAY_SATURATED_MODEL   a model whose queue is full for as long as this runs
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
const messages = [{ role: 'user', content: 'the water and the light' }];

// No retries: a test must see the gateway's first answer.
function client(apiKey = required('GATEWAY_KEY')) {
  return new OpenAI({ baseURL: new URL('/v1', required('GATEWAY_URL')).href, apiKey, maxRetries: 0, timeout: 60_000 });
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
