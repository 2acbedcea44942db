// What a client with Anthropic's own JavaScript SDK sees of a running gateway; openai.test.mjs says which variables it wants.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';

function required(name) {
  return process.env[name] || assert.fail(`the environment variable ${name} is not set`);
}

const model = required('GATEWAY_MODEL');
const messages = [{ role: 'user', content: 'the water and the light' }];

// No retries: a test must see the gateway's first answer.
function client(apiKey = required('GATEWAY_KEY'), maxRetries = 0) {
  return new Anthropic({ baseURL: new URL('/', required('GATEWAY_URL')).href.replace(/\/$/, ''), apiKey, maxRetries, timeout: 60_000 });
}

async function refusal(promise, type) {
  const error = await promise.then(() => assert.fail('was answered, not refused'), (reason) => reason);
  assert.ok(error instanceof type, `${type.name} was expected, not ${error}`);
  return error;
}

test('models.list names the configured models', async () => {
  const ids = [];
  for await (const entry of client().models.list()) {
    assert.equal(entry.type, 'model');
    assert.ok(!Number.isNaN(Date.parse(entry.created_at)));
    ids.push(entry.id);
  }
  assert.ok(ids.includes(model), `${model} is not among ${ids}`);
  assert.equal((await client().models.retrieve(model)).id, model);
});

test('messages.create answers with a text and its usage', async () => {
  const answer = await client().messages.create({ model, messages, max_tokens: 8 });
  assert.equal(answer.type, 'message');
  assert.ok(answer.content[0].text.length > 0);
  assert.ok(answer.usage.output_tokens >= 1 && answer.usage.output_tokens <= 8);
});

test('messages.stream ends with a reason', async () => {
  const stream = client().messages.stream({ model, messages, max_tokens: 8 });
  let text = '';
  stream.on('text', (piece) => { text += piece; });
  const message = await stream.finalMessage();
  assert.ok(text.length > 0);
  assert.equal(message.content[0].text, text);
  assert.ok(['end_turn', 'max_tokens'].includes(message.stop_reason), message.stop_reason);
});

test('messages.countTokens counts', async () => {
  assert.ok((await client().messages.countTokens({ model, messages })).input_tokens > 0);
});

test('tools reach the model, and its call comes back, whole and streamed', async () => {
  const request = {
    model: required('GATEWAY_TOOLS_MODEL'), messages, max_tokens: 100,
    tools: [{ name: 'weather', description: 'of a city', input_schema: { type: 'object', properties: { city: { type: 'string' } } } }],
  };
  const answer = await client().messages.create(request);
  assert.equal(answer.stop_reason, 'tool_use');
  assert.deepEqual(answer.content[0].input, { city: 'Zürich' });
  const streamed = await client().messages.stream(request).finalMessage();
  assert.equal(streamed.content[0].name, 'weather');
  assert.deepEqual(streamed.content[0].input, { city: 'Zürich' });
});

test('a stream that breaks raises an APIError, after the text that came', async () => {
  const stream = await client().messages.create({ model: required('GATEWAY_BREAKING_MODEL'), messages, max_tokens: 50, stream: true });
  let text = '';
  const error = await refusal((async () => {
    for await (const event of stream) if (event.type === 'content_block_delta') text += event.delta.text;
  })(), Anthropic.APIError);
  assert.equal(error.error.error.type, 'api_error');
  assert.ok(text.length > 0);
});

test('an abort ends the stream', async () => {
  const stream = await client().messages.create({ model, messages, max_tokens: 4000, stream: true });
  let events = 0;
  for await (const _ of stream) {
    if (++events === 3) stream.controller.abort();
  }
  assert.ok(events < 4000);
});

test('retries wait as long as Retry-After says, and are answered then', async () => {
  const busy = required('GATEWAY_BUSY_MODEL');
  const holder = await client().messages.create({ model: busy, messages, max_tokens: 20, stream: true });
  const holding = (async () => { for await (const _ of holder); })();
  const answer = await client(undefined, 5).messages.create({ model: busy, messages, max_tokens: 1 });
  assert.equal(answer.type, 'message');
  await holding;
});

test('refusals are the typed errors of the SDK', async () => {
  const ask = (client_, model_) => client_.messages.create({ model: model_, messages, max_tokens: 1 });
  const wrongKey = await refusal(ask(client('sk-wrong'), model), Anthropic.AuthenticationError);
  assert.equal(wrongKey.error.error.type, 'authentication_error');
  await refusal(ask(client(), 'no-such-model'), Anthropic.NotFoundError);
  const full = await refusal(ask(client(), required('GATEWAY_SATURATED_MODEL')), Anthropic.RateLimitError);
  assert.equal(full.error.error.type, 'rate_limit_error');
  assert.ok(full.requestID);
});
