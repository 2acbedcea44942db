// What stands around the table: the verdict, what needs a look, the numbers of the whole, events and requests.
import { bytes, clock, milliseconds, number, seconds, words } from './format.js';
import { attr, byId, h, sync, text } from './dom.js';
import { sparkline } from './charts.js';
import { lastRate, whole } from './models.js';
import { capital, command, encode, replicaPath } from './commands.js';

const marks = { good: '●', coming: '◑', calm: '○', warn: '▲', bad: '✕' };
const mostItems = 12;
const mostEvents = 200;

export function showVerdict({ verdict, items }, readOnly, open) {
  attr(byId('verdict'), 'class', verdict.level);
  text(byId('verdict-mark'), marks[verdict.level]);
  text(byId('verdict-text'), verdict.text);
  text(byId('verdict-load'), verdict.load);
  document.title = `${marks[verdict.level]} ${verdict.text} · LlmGateway`;
  sync(byId('attention'), items.slice(0, mostItems), item => `${item.subject} ${item.level} ${item.title.replace(/[\d.]+ ?\w*/g, '')}`, item => {
    const title = item.subject.includes('/') ? h('button', { type: 'button', class: 'name', onclick: () => open(item.subject) }) : h('strong');
    const why = h('span', { class: 'why' });
    const next = h('span', { class: 'next' });
    const act = h('span', { class: 'act' });
    return { element: h('li', {}, h('span', { class: 'mark', 'aria-hidden': 'true' }), h('div', {}, title, why, next), act), title, why, next, act };
  }, (view, item) => {
    attr(view.element, 'class', item.level);
    text(view.element.firstElementChild, marks[item.level]);
    text(view.title, item.title);
    text(view.why, item.why);
    text(view.next, item.next);
    const wanted = readOnly ? null : item.command;
    if (view.command !== wanted) {
      view.command = wanted;
      view.act.replaceChildren(...(wanted ? [h('button', { type: 'button', class: 'small', onclick: () => command(wanted, item.subject, `${replicaPath(item.subject)}/${wanted}`) }, capital(wanted))] : []));
    }
  });
  const more = items.length - mostItems;
  text(byId('attention-more'), more > 0 ? `and ${more} more in the table below` : '');
}

const sum = (list, of) => list.reduce((total, one) => total + (of(one) ?? 0), 0);

// All models' series added up, or for times averaged.
function together(history, name, mean) {
  const series = Object.values(history?.models ?? {}).map(model => model[name]);
  if (series.length === 0) return null;
  return series[0].map((_, i) => {
    const values = series.map(one => one[i]).filter(value => value != null);
    if (values.length === 0) return mean ? null : 0;
    return sum(values, value => value) / (mean ? values.length : 1);
  });
}

function tile(id, label, kind) {
  const value = h('span', { class: 'big' });
  const note = h('span', { class: 'note' });
  const line = kind && kind !== 'bar' ? sparkline(kind) : null;
  const bar = kind === 'bar' ? h('span', { class: 'bar', 'aria-hidden': 'true' }, h('i')) : null;
  byId('tiles').append(h('div', { class: 'tile', id }, h('h3', {}, label), value, note, line?.element ?? bar));
  return (big, small, values, told) => {
    text(value, big);
    text(note, small);
    line?.draw(values, told);
    bar?.firstElementChild.style.setProperty('--share', Math.min(1, values || 0));
  };
}

export function tiles() {
  const backends = tile('tile-backends', 'Backends ready', 'bar');
  const slots = tile('tile-slots', 'Slots busy', 'bar');
  const waiting = tile('tile-waiting', 'Waiting', null);
  const first = tile('tile-first', 'First token', 'time');
  const rate = tile('tile-rate', 'Tokens/s', 'rate');
  const requests = tile('tile-requests', 'Requests/min', 'rate');
  const memory = tile('tile-memory', 'Model memory', 'bar');
  const own = tile('tile-own', 'Gateway', null);
  return (status, history) => {
    const replicas = status.models.flatMap(model => model.replicas);
    const ready = replicas.filter(replica => replica.state === 'ready').length;
    backends(`${ready} / ${replicas.length}`, `${status.models.length} model${status.models.length === 1 ? '' : 's'}`, ready / replicas.length);
    const total = sum(replicas, replica => (replica.state === 'ready' ? replica.slots.total : 0));
    const busy = sum(replicas, replica => replica.slots.busy);
    slots(`${busy} / ${total}`, total > 0 ? `${Math.round((busy / total) * 100)} % in use` : 'none to use', busy / total);
    const depth = sum(status.models, model => model.queue.depth);
    waiting(String(depth), depth > 0 ? `the first for ${seconds(Math.max(...status.models.map(model => model.queue.oldestAgeSeconds)))}` : 'no queue');
    const times = together(history, 'firstTokenMs', true);
    first(milliseconds(times?.findLast(value => value != null)), 'mean, last 10 s of streams', times, 'Mean time to the first token, 15 minutes');
    const rates = together(history, 'tokensPerSecond', false);
    rate(number(lastRate(rates) ?? 0), 'all models', whole(rates), 'Tokens a second, 15 minutes');
    const ended = together(history, 'requests', false);
    const failures = together(history, 'failures', false);
    const failed = sum(failures?.slice(-6) ?? [], value => value);
    requests(String(sum(ended?.slice(-6) ?? [], value => value)), failed > 0 ? `${failed} failed` : 'none failed', whole(ended), 'Requests that ended, 15 minutes');
    attr(byId('tile-requests'), 'class', `tile ${failed > 0 ? 'warn' : ''}`);
    const resident = sum(replicas, replica => replica.residentBytes);
    memory(bytes(resident), `of ${bytes(status.gateway.memory.budgetBytes)} to use`, resident / status.gateway.memory.budgetBytes);
    const self = status.gateway.process;
    own(`${Math.round(self.cpuPercent)} % CPU`, `${bytes(self.residentBytes)}, ${self.threads} threads`);
  };
}

export function eventList(open) {
  const kept = [];
  const list = byId('events');
  const level = byId('event-level');
  function draw() {
    const fits = kept.filter(event => level.value === 'all' || (level.value === 'error' ? event.level === 'error' : event.level !== 'info'));
    sync(list, fits, event => event.id, event => h('li', { class: event.level === 'error' ? 'bad' : event.level === 'warning' ? 'warn' : event.to === 'ready' ? 'good' : '' },
      h('time', { datetime: event.at }, clock(event.at)), h('span', { class: 'kind' }, words(event.kind)),
      event.subject.includes('/') ? h('button', { type: 'button', class: 'text', onclick: () => open(event.subject) }, event.message) : h('span', {}, event.message)), () => {});
    byId('no-events').hidden = fits.length > 0;
  }
  level.addEventListener('change', draw);
  return events => {
    kept.unshift(...events.toReversed());
    kept.length = Math.min(kept.length, mostEvents);
    draw();
  };
}

export function requestList(readOnly) {
  const body = byId('requests');
  const column = name => h('td', { class: name });
  return ({ current, recent }, now) => {
    const rows = [...current.toReversed(), ...recent].slice(0, 100);
    byId('no-requests').hidden = rows.length > 0;
    sync(body, rows, row => `${row.arrivedAt} ${row.id}`, row => {
      const cells = Object.fromEntries(['arrived', 'model', 'key', 'outcome', 'waited', 'first', 'took', 'tokens', 'do'].map(name => [name, column(name)]));
      text(cells.arrived, clock(row.arrivedAt));
      text(cells.key, row.key);
      if (!readOnly()) cells.do.append(h('button', { type: 'button', class: 'small', onclick: () => command('cancel', `request ${row.id}`, `api/requests/${encode(row.id)}/cancel`) }, 'Cancel'));
      return { element: h('tr', {}, ...Object.values(cells)), cells };
    }, ({ element, cells }, row) => {
      text(cells.model, row.backend ?? row.model);
      text(cells.outcome, words(row.outcome ?? row.stage));
      attr(element, 'class', row.outcome == null ? row.stage : ['ok', 'client_error'].includes(row.outcome) ? '' : row.outcome.startsWith('cancelled') ? 'calm' : 'bad');
      text(cells.waited, milliseconds(row.stage === 'queued' ? now - new Date(row.arrivedAt).getTime() : row.queueMs));
      text(cells.first, milliseconds(row.firstTokenMs));
      text(cells.took, milliseconds(row.durationMs ?? now - new Date(row.arrivedAt).getTime()));
      text(cells.tokens, row.completionTokens == null ? '–' : `${number(row.promptTokens)} → ${number(row.completionTokens)}`);
      if (row.outcome != null) cells.do.replaceChildren();
    });
  };
}

export function showKeys(keys) {
  byId('keys-panel').hidden = keys.length === 0;
  sync(byId('keys'), keys, key => key.name, key => {
    const cells = Array.from({ length: 4 }, () => h('td'));
    text(cells[0], key.name);
    return { element: h('tr', {}, ...cells), cells };
  }, ({ cells }, { inFlight, queued, limits }) => {
    text(cells[1], String(inFlight - queued));
    text(cells[2], String(queued));
    text(cells[3], [limits.maxConcurrent && `${limits.maxConcurrent} at once`, limits.requestsPerMinute && `${number(limits.requestsPerMinute)} requests/min`, limits.tokensPerMinute && `${number(limits.tokensPerMinute)} tokens/min`].filter(Boolean).join(', ') || 'none');
  });
}
