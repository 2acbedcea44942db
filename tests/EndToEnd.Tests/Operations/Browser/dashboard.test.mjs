// The dashboard in a real Chromium, against a real gateway with simulated backends. DashboardTests runs this and gives it:
//   GATEWAY_URL (data), DASHBOARD_URL (management), DASHBOARD_TOKEN, CHROMIUM, SCREENSHOTS (a folder, or nothing).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { chromium } from 'playwright-core';

const { GATEWAY_URL: gateway, DASHBOARD_URL: management, DASHBOARD_TOKEN: token, CHROMIUM: executablePath, SCREENSHOTS: pictures } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const patience = 20_000;

let browser;
let page;
let complaints;

const api = (path, method = 'GET') => fetch(new URL(path, management), { method, headers: { authorization: `Bearer ${token}`, accept: 'application/json' } });
const status = async () => (await api('api/status')).json();
const replica = async name => (await status()).models.flatMap(model => model.replicas).find(one => one.backend === name);
const row = name => page.locator('.row.backend', { has: page.getByRole('button', { name, exact: true }) });

async function login(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1600, height: 1000 }, colorScheme: 'dark', ...options });
  const opened = await context.newPage();
  opened.setDefaultTimeout(patience);
  opened.on('console', message => ['error', 'warning'].includes(message.type()) && complaints.push(`${message.text()} ${message.location().url}`));
  opened.on('pageerror', error => complaints.push(error.stack));
  opened.on('request', request => new URL(request.url()).origin === new URL(management).origin || request.url().startsWith('data:') || complaints.push(`asked elsewhere: ${request.url()}`));
  const { url } = await (await api('api/login-links', 'POST')).json();
  await opened.goto(url);
  await opened.waitForSelector('body[data-ready]');
  return opened;
}

async function untilReady() {
  for (let tries = 0; tries < 300; tries++) {
    const { models } = await status();
    if (models.find(model => model.name === 'qwen3-8b').replicas.every(one => one.state === 'ready')) return;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  assert.fail('the replicas did not become ready');
}

const streams = [];

// A stream that goes on until it is aborted.
function stream(model, tokens = 4000) {
  const ended = new AbortController();
  streams.push(ended);
  const answer = fetch(new URL('v1/chat/completions', gateway), {
    method: 'POST', signal: ended.signal, headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream: true, max_tokens: tokens, messages: [{ role: 'user', content: 'do not show this' }] }),
  }).then(async response => { for await (const _ of response.body); }).catch(() => {});
  return { end: async () => { ended.abort(); await answer; } };
}

async function picture(name, opened = page) {
  if (pictures) await opened.screenshot({ path: join(pictures, `${name}.png`), animations: 'disabled' });
}

async function accessible(opened, what) {
  await opened.evaluate(axe);
  const { violations } = await opened.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  assert.deepEqual(violations.map(({ id, nodes }) => ({ what, id, where: nodes.slice(0, 3).map(node => node.html.slice(0, 160)) })), []);
}

before(async () => {
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  complaints = [];
  await untilReady();
  page = await login();
});

beforeEach(async () => {
  complaints.length = 0;
  for (const dialog of await page.locator('dialog[open]').all()) await dialog.evaluate(element => element.close());
  await page.locator('#filter').fill('');
});

after(async () => {
  streams.forEach(one => one.abort());
  await browser?.close();
});

const quiet = () => assert.deepEqual(complaints, []);

test('live rows: what the status says stands in the table, and a slot that gets busy shows', async () => {
  const one = await replica('qwen3-8b/0');
  await row('qwen3-8b/0').getByText(`pid ${one.pid}`).waitFor();
  await page.locator('#connection-text', { hasText: 'live' }).waitFor();
  const running = Array.from({ length: 3 }, () => stream('qwen3-8b'));
  await page.locator('#tile-slots .big', { hasText: /^3 \// }).waitFor();
  await page.locator('#requests tr', { hasText: 'running' }).first().waitFor();
  assert.ok(!(await page.content()).includes('do not show this'));
  await Promise.all(running.map(each => each.end()));
  await page.locator('#tile-slots .big', { hasText: /^0 \// }).waitFor();
  quiet();
});

test('a kill is seen as it happens: down, why, next, and back', async () => {
  await untilReady();
  const { pid } = await replica('qwen3-8b/1');
  process.kill(pid, 'SIGKILL');
  await page.locator('#attention li.bad', { hasText: 'qwen3-8b/1 is down' }).waitFor();
  await page.locator('#verdict.bad').waitFor();
  await page.locator('#attention li.bad', { hasText: /It is tried again (in|any)/ }).waitFor();
  await page.locator('#events li.bad', { hasText: 'external_kill' }).first().waitFor();
  await row('qwen3-8b/1').locator('.chip', { hasText: 'ready' }).waitFor();
  assert.notEqual((await replica('qwen3-8b/1')).pid, pid);
  quiet();
});

test('restart from the page: asked for once more, then carried out and audited', async () => {
  await untilReady();
  const { pid } = await replica('qwen3-8b/0');
  await page.getByRole('button', { name: 'qwen3-8b/0', exact: true }).click();
  await page.locator('#sheet').getByRole('button', { name: 'Restart' }).click();
  await page.locator('#confirm').getByRole('button', { name: 'Leave it' }).click();
  assert.equal((await replica('qwen3-8b/0')).pid, pid);
  await page.locator('#sheet').getByRole('button', { name: 'Restart' }).click();
  await page.locator('#confirm').getByRole('button', { name: 'Restart' }).click();
  await page.locator('.toast.good', { hasText: 'Restart of qwen3-8b/0' }).waitFor();
  await page.locator('#sheet .facts', { hasText: /pid (?!-)/ }).waitFor();
  for (let tries = 0; (await replica('qwen3-8b/0')).pid === pid; tries++) {
    assert.ok(tries < 200, 'it was not restarted');
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  await page.keyboard.press('Escape');
  await page.locator('#events', { hasText: 'ordered by browser' }).waitFor();
  quiet();
});

test('log: followed, searched', async () => {
  await untilReady();
  await page.getByRole('button', { name: 'qwen3-8b/1', exact: true }).click();
  await page.locator('#log-lines', { hasText: 'listening on' }).waitFor();
  await page.locator('#log-search').fill('no such words in it');
  await page.locator('#log-found', { hasText: '0 lines' }).waitFor();
  await page.locator('#log-search').fill('listening');
  assert.match(await page.locator('#log-lines div:visible').last().innerText(), /listening/);
  await page.locator('#log-search').fill('');
  const before = await page.locator('#log-lines div').count();
  await api('api/replicas/qwen3-8b/1/restart?wait=true', 'POST');
  await page.waitForFunction(count => document.querySelectorAll('#log-lines div').length > count, before);
  quiet();
});

test('a request is cancelled from the list', async () => {
  const running = stream('gemma-3-27b');
  const line = page.locator('#requests tr', { hasText: 'gemma-3-27b' }).filter({ hasText: 'running' }).first();
  await line.getByRole('button', { name: 'Cancel' }).click();
  await page.locator('#confirm').getByRole('button', { name: 'Cancel' }).click();
  await page.locator('.toast.good', { hasText: 'Cancel of request' }).waitFor();
  await page.locator('#requests tr', { hasText: 'gemma-3-27b' }).filter({ hasText: 'cancelled in flight' }).first().waitFor();
  await running.end();
  quiet();
});

test('filter and keys: / filters, j goes on, Enter opens, Escape closes', async () => {
  await untilReady();
  await page.locator('h1').click();
  await page.keyboard.press('/');
  await page.keyboard.type('gemma');
  await page.locator('#shown', { hasText: '1 of' }).waitFor();
  assert.deepEqual(await page.locator('.row.backend .name').allInnerTexts(), ['gemma-3-27b/0']);
  await page.keyboard.press('Escape');
  await page.locator('.row.backend .name', { hasText: 'qwen3-8b/0' }).waitFor();
  await page.locator('h1').click();
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'qwen3-8b/1');
  await page.keyboard.press('k');
  await page.keyboard.press('Enter');
  await page.locator('#sheet[open] h2', { hasText: 'qwen3-8b/0' }).waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#sheet').waitFor({ state: 'hidden' });
  await page.keyboard.press('?');
  await page.locator('#help[open]').waitFor();
  await page.keyboard.press('Escape');

  // By Tab alone: everything that can be pressed can be reached, and the focus shows.
  await page.evaluate(() => document.querySelector('.skip').focus());
  const reached = new Set();
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim()));
  }
  for (const wanted of ['theme', 'logout', 'filter', 'only-trouble', 'qwen3-8b', 'qwen3-8b/0', 'Rolling restart', 'event-level']) assert.ok(reached.has(wanted), `${wanted} is not reached by Tab`);
  quiet();
});

test('dark and light: both without a violation, on wide and narrow screens', async () => {
  await untilReady();
  const load = [...Array.from({ length: 5 }, () => stream('qwen3-8b')), ...Array.from({ length: 4 }, () => stream('gemma-3-27b'))];
  await page.locator('#attention li.warn', { hasText: 'gemma-3-27b is slow' }).waitFor();
  for (const [theme, width, height] of [['dark', 1440, 1020], ['light', 1440, 1020], ['dark', 400, 900], ['light', 900, 900]]) {
    const opened = await login({ colorScheme: theme, viewport: { width, height } });
    await opened.locator('#attention li').first().waitFor();
    await opened.locator('#requests tr').first().waitFor();
    await accessible(opened, `${theme} ${width}`);
    assert.ok(await opened.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width} wide: it scrolls sideways`);
    if (width === 1440) await picture(`dashboard-${theme}`, opened);
    await opened.getByRole('button', { name: 'qwen3-8b/0', exact: true }).click();
    await opened.locator('#log-lines div').first().waitFor();
    await accessible(opened, `${theme} ${width}, opened`);
    if (theme === 'dark' && width === 1440) await picture('dashboard-backend', opened);
    await opened.context().close();
  }
  await page.locator('#theme').click();
  await page.locator('#theme', { hasText: 'dark' }).waitFor();
  await page.locator('#theme').click();
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(243, 245, 247)');
  await page.locator('#theme').click();
  await Promise.all(load.map(each => each.end()));
  quiet();
});

test('without the stream it asks every two seconds, and not while it is hidden', async () => {
  const context = await browser.newContext();
  const opened = await context.newPage();
  await opened.route('**/api/live', route => route.abort());
  let asked = 0;
  opened.on('request', request => { if (request.url().endsWith('/api/status')) asked++; });
  const { url } = await (await api('api/login-links', 'POST')).json();
  await opened.goto(url);
  await opened.waitForSelector('body[data-ready]');
  await opened.locator('#connection-text', { hasText: 'asking every 2 s' }).waitFor({ timeout: patience });
  const first = asked;
  await opened.waitForFunction(() => new Promise(resolve => setTimeout(() => resolve(true), 6500)));
  assert.ok(asked - first >= 2 && asked - first <= 4, `asked ${asked - first} times in 6.5 s`);
  await opened.evaluate(() => {
    Object.defineProperty(document, 'hidden', { value: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  const hidden = asked;
  await opened.waitForFunction(() => new Promise(resolve => setTimeout(() => resolve(true), 4500)));
  assert.ok(asked - hidden <= 1, 'it asks although nobody looks');
  await context.close();
});

test('the token, pasted into the page that asks for it, logs in', async () => {
  const context = await browser.newContext();
  const opened = await context.newPage();
  await opened.goto(management);
  await opened.locator('#token').fill('wrong');
  await opened.locator('#token').press('Enter');
  await opened.locator('[role=alert]').waitFor({ timeout: patience });
  await accessible(opened, 'login');
  await opened.locator('#token').fill(token);
  await opened.locator('#token').press('Enter');
  await opened.waitForSelector('body[data-ready]', { timeout: patience });
  await context.close();
});

test('a thousand rows: the page keeps up', async () => {
  const real = await status();
  const model = real.models[0];
  const many = { ...real, models: [{ ...model, replicas: Array.from({ length: 1000 }, (_, i) => ({ ...model.replicas[0], backend: `qwen3-8b/${i}` })) }] };
  const context = await browser.newContext({ viewport: { width: 1600, height: 1000 } });
  const opened = await context.newPage();
  let turn = 0;
  await opened.route('**/api/live', route => route.abort());
  await opened.route('**/api/status', route => {
    turn++;
    for (const one of many.models[0].replicas) one.cpuPercent = turn;
    return route.fulfill({ json: many });
  });
  const { url } = await (await api('api/login-links', 'POST')).json();
  await opened.goto(url);
  await opened.waitForSelector('body[data-ready]', { timeout: patience });
  assert.equal(await opened.locator('.row.backend').count(), 1000);
  await opened.locator('#filter').fill('qwen3-8b/77');
  await opened.locator('#shown', { hasText: '11 of 1000' }).waitFor({ timeout: patience });
  await opened.locator('#filter').fill('');

  // The longest that the page's own thread was held in the updates of some seconds.
  const longest = await opened.evaluate(() => new Promise(resolve => {
    let most = 0;
    new PerformanceObserver(list => { for (const entry of list.getEntries()) most = Math.max(most, entry.duration); }).observe({ type: 'longtask', buffered: false });
    setTimeout(() => resolve(most), 7000);
  }));
  console.log(`1,000 rows that all change: the longest task took ${Math.round(longest)} ms`);
  assert.ok(longest < 1000, `a task of ${longest} ms`);
  await context.close();
});
