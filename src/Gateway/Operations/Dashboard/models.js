// The table: a model's row, and below it one row for each of its backends.
import { bytes, milliseconds, number, plural, seconds, words } from './format.js';
import { nextOf, stateOf } from './attention.js';
import { attr, byId, h, sync, text } from './dom.js';
import { sparkline, strip } from './charts.js';
import { command, encode } from './commands.js';

const cell = (name, ...children) => h('div', { role: 'cell', class: `cell ${name}` }, ...children);

export function chip() {
  const mark = h('span', { class: 'mark', 'aria-hidden': 'true' });
  const word = h('span');
  const element = h('span', { class: 'chip' }, mark, word);
  return {
    element,
    show(state) {
      const { look, mark: sign } = stateOf(state);
      attr(element, 'class', `chip ${look}`);
      text(mark, sign);
      text(word, words(state));
    },
  };
}

// A cell a slot, as long as they can be told apart; else a bar.
export function slotCells() {
  const cells = h('span', { class: 'slots', 'aria-hidden': 'true' });
  const count = h('span', { class: 'count' });
  const element = h('span', { class: 'slotbox' }, cells, count);
  let drawn;
  return {
    element,
    show({ total, busy, quarantined }) {
      const key = `${total}/${busy}/${quarantined}`;
      if (key === drawn) return;
      drawn = key;
      text(count, total > 0 ? `${busy}/${total}` : '–');
      attr(element, 'title', `${busy} of ${total} slots busy${quarantined > 0 ? `, ${quarantined} still being let go of` : ''}`);
      const shown = Math.min(total, 16);
      const scale = total > 0 ? shown / total : 0;
      const full = Math.round(busy * scale);
      const held = Math.round(quarantined * scale);
      cells.replaceChildren(...Array.from({ length: shown }, (_, i) => h('i', { class: i < full ? 'busy' : i < full + held ? 'held' : '' })));
    },
  };
}

export function memoryBar() {
  const bar = h('i');
  const value = h('span');
  const element = h('span', { class: 'memory' }, value, h('span', { class: 'bar', 'aria-hidden': 'true' }, bar));
  return {
    element,
    show(resident, estimated) {
      text(value, bytes(resident));
      const share = resident != null && estimated > 0 ? resident / estimated : null;
      attr(bar.parentElement, 'hidden', share == null);
      attr(element, 'class', `memory ${share > 1.2 ? 'over' : ''}`);
      attr(element, 'title', estimated > 0 ? `${bytes(resident)} resident, ${bytes(estimated)} estimated` : `${bytes(resident)} resident`);
      bar.style.setProperty('--share', Math.min(1, share ?? 0));
    },
  };
}

const last = values => values?.findLast(value => value != null);
// The step that is going on is not over: its rate would always look low.
export const whole = values => values?.slice(0, -1);
export const lastRate = values => values?.at(-2);

export function traffic() {
  const firstToken = sparkline('time');
  const firstValue = h('span', { class: 'value' });
  const rate = sparkline('rate');
  const rateValue = h('span', { class: 'value' });
  return {
    firstToken: [firstToken.element, firstValue],
    rate: [rate.element, rateValue],
    show(series) {
      const slowest = Math.max(0, ...(series?.firstTokenMs ?? []).map(value => value ?? 0));
      firstToken.draw(series?.firstTokenMs, series ? `First token, 15 minutes: last ${milliseconds(last(series.firstTokenMs))}, at most ${milliseconds(slowest)}` : 'First token: no stream in 15 minutes');
      text(firstValue, milliseconds(last(series?.firstTokenMs)));
      rate.draw(whole(series?.tokensPerSecond), series ? `Tokens a second, 15 minutes: now ${number(lastRate(series.tokensPerSecond))}, at most ${number(Math.max(...series.tokensPerSecond))}` : 'Tokens a second: none in 15 minutes');
      text(rateValue, number(lastRate(series?.tokensPerSecond)));
    },
  };
}

function backendRow(replica, open) {
  const name = h('button', { class: 'name', type: 'button', onclick: () => open(replica.backend) }, replica.backend);
  const state = chip();
  const why = h('span', { class: 'why' });
  const slots = slotCells();
  const lines = traffic();
  const cpu = cell('cpu');
  const memory = memoryBar();
  const breaker = cell('breaker');
  const restarts = cell('restarts');
  const health = strip();
  const uptime = cell('uptime');
  const place = h('span', { class: 'place' });
  const element = h('div', { role: 'row', class: 'row backend' },
    h('div', { role: 'rowheader', class: 'cell backend' }, name, place),
    cell('state', state.element, why), cell('slots', slots.element), cell('first', ...lines.firstToken), cell('rate', ...lines.rate),
    cpu, cell('mem', memory.element), breaker, restarts, cell('health', health.element), uptime);
  let shown;
  return {
    element,
    show(next, history, now, model) {
      lines.show(history?.traffic);
      health.draw(history?.health);
      const key = JSON.stringify(next);
      const moving = next.state !== 'ready' && next.nextTryAt;
      if (key === shown && !moving) return;
      shown = key;
      state.show(next.state);
      attr(element, 'data-look', stateOf(next.state).look);
      text(why, [next.notRoutableBecause ?? next.limitedBecause, nextOf(next, now, model)].filter(Boolean).join(' '));
      text(place, [next.pid && `pid ${next.pid}`, next.address?.replace(/^http:\/\/(127\.0\.0\.1(?=:))?/, '')].filter(Boolean).join(' · '));
      slots.show(next.slots);
      text(cpu, next.cpuPercent == null ? '–' : `${Math.round(next.cpuPercent)} %`);
      memory.show(next.residentBytes, next.estimatedBytes);
      text(breaker, words(next.breaker ?? '–'));
      attr(breaker, 'class', `cell breaker ${next.breaker === 'open' ? 'bad' : next.breaker === 'half_open' ? 'warn' : ''}`);
      text(restarts, next.restartsInWindow == null ? '–' : `${next.restartsInWindow}/${next.maxRestarts ?? '?'}`);
      attr(restarts, 'class', `cell restarts ${next.restartsInWindow > 0 ? 'warn' : ''}`);
      text(uptime, seconds(next.uptimeSeconds));
    },
  };
}

function queueText(queue) {
  if (queue.depth === 0) return 'none waits';
  const bands = queue.bands.filter(band => band.depth > 0).map(band => `${band.priority} ${band.depth}`).join(', ');
  const keys = queue.keys.filter(key => key.queued > 0 && key.name !== 'none').map(key => `${key.name} ${key.queued}`).join(', ');
  return `${queue.depth} of ${queue.limit} wait, the first for ${seconds(queue.oldestAgeSeconds)} (${[bands, keys].filter(Boolean).join('; ')})`;
}

function modelGroup(model, readOnly, open) {
  const toggle = h('button', { class: 'toggle', type: 'button', 'aria-expanded': 'true' }, model.name);
  const aliases = h('span', { class: 'aliases' });
  const state = h('span', { class: 'modelstate' });
  const queue = h('span', { class: 'queue' });
  const lines = traffic();
  const act = (verb, path) => h('button', { type: 'button', class: 'small', onclick: () => command(verb, model.name, path) }, verb === 'rolling' ? 'Rolling restart' : verb[0].toUpperCase() + verb.slice(1));
  const path = `api/models/${encode(model.name)}`;
  const roll = act('rolling', `${path}/restart`);
  const load = act('load', `${path}/load`);
  const unload = act('unload', `${path}/unload`);
  const head = h('div', { role: 'row', class: 'row model' },
    h('div', { role: 'rowheader', class: 'cell backend' }, toggle, aliases),
    cell('wide', state, queue), cell('first', ...lines.firstToken), cell('rate', ...lines.rate),
    h('div', { role: 'cell', class: 'cell actions' }, ...(readOnly ? [] : [roll, load, unload])));
  const body = h('div', { class: 'backends', role: 'presentation' });
  toggle.addEventListener('click', () => {
    const shut = toggle.getAttribute('aria-expanded') === 'true';
    attr(toggle, 'aria-expanded', String(!shut));
    body.hidden = shut;
  });
  return {
    element: h('div', { role: 'rowgroup', class: 'group' }, head, body),
    show(next, replicas, history, now) {
      text(aliases, next.aliases.length > 0 ? `also ${next.aliases.join(', ')}` : '');
      const ready = next.replicas.filter(replica => replica.state === 'ready').length;
      text(state, `${ready} of ${plural(next.replicas.length, 'backend')} ready`);
      text(queue, queueText(next.queue));
      attr(queue, 'class', `queue ${next.queue.oldestAgeSeconds >= 5 || next.queue.depth > next.queue.limit * 0.8 ? 'warn' : ''}`);
      lines.show(history?.models[next.name]);
      const own = next.replicas.every(replica => replica.kind !== 'remote');
      const down = ['stopped', 'unloaded'].includes(next.state);
      roll.hidden = !own || down || next.replicas.length === 0;
      load.hidden = !own || !down;
      unload.hidden = !own || down;
      sync(body, replicas, replica => replica.backend, replica => backendRow(replica, open), (row, replica) => row.show(replica, history?.backends[replica.backend], now, next));
    },
  };
}

const matches = (replica, model, filter) =>
  [replica.backend, replica.state, words(replica.state), replica.address, replica.pid, ...model.aliases].some(value => value != null && String(value).toLowerCase().includes(filter));

export function showModels(status, history, filter, onlyTrouble, now, open) {
  const groups = [];
  let shown = 0;
  for (const model of status.models) {
    const wanted = model.replicas.filter(replica => (!filter || model.name.toLowerCase().includes(filter) || matches(replica, model, filter)) && (!onlyTrouble || stateOf(replica.state).look !== 'good'));
    shown += wanted.length;
    if (wanted.length > 0 || (!filter && !onlyTrouble)) groups.push({ model, wanted });
  }
  sync(byId('groups'), groups, group => group.model.name, group => modelGroup(group.model, status.gateway.readOnly, open), (view, group) => view.show(group.model, group.wanted, history, now));
  byId('nothing').hidden = groups.length > 0;
  return shown;
}
