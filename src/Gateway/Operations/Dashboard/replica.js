// One backend in full, in a sheet at the side: where it stands, what it uses, how it ended last, and what it writes.
import { bytes, clock, plural, seconds, since, words } from './format.js';
import { nextOf, stateOf } from './attention.js';
import { attr, byId, h, sync, text } from './dom.js';
import { strip } from './charts.js';
import { chip, memoryBar, slotCells, traffic } from './models.js';
import { capital, command, replicaPath } from './commands.js';

const mostLines = 2000;
const path = ['queued', 'starting', 'loading', 'warming', 'ready'];
const verbs = {
  restart: replica => replica.state !== 'stopped',
  drain: replica => ['ready', 'busy', 'not_ready'].includes(replica.state),
  resume: replica => replica.state === 'draining',
  stop: replica => replica.state !== 'stopped',
  start: replica => replica.state === 'stopped',
  reset: replica => ['failed', 'backoff'].includes(replica.state) || replica.restartsInWindow > 0,
};

export function replicaSheet(readOnly) {
  const sheet = byId('sheet');
  const state = chip();
  const why = h('p', { class: 'why' });
  const steps = h('ol', { class: 'steps', 'aria-label': 'Position on the way to ready' });
  const buttons = h('div', { class: 'buttons' });
  const facts = h('dl', { class: 'facts' });
  const slots = slotCells();
  const memory = memoryBar();
  const lines = traffic();
  const health = strip();
  const exit = h('section', { class: 'exit' });
  byId('sheet-body').append(
    h('div', { class: 'standing' }, state.element, why), steps, buttons, facts,
    h('div', { class: 'lines' }, h('figure', {}, h('figcaption', {}, 'First token'), ...lines.firstToken), h('figure', {}, h('figcaption', {}, 'Tokens/s'), ...lines.rate),
      h('figure', { class: 'long' }, h('figcaption', {}, 'Last 15 minutes'), health.element)),
    exit);
  const log = logView();
  let backend = null;
  let lastExit;

  function showFacts(replica, status, now) {
    const items = [
      ['Process', replica.pid ? `pid ${replica.pid}, up ${since(replica.startedAt, now)}${replica.idleSeconds > 60 ? `, idle for ${seconds(replica.idleSeconds)}` : ''}` : 'none'],
      ['Address', replica.address ?? 'none'],
      ['Slots', slots.element],
      ['CPU', replica.cpuPercent == null ? '–' : `${Math.round(replica.cpuPercent)} % of a core`],
      ['Memory', memory.element],
      ['Estimate, budget', `${bytes(replica.estimatedBytes || null)}, ${bytes(status.gateway.memory.budgetBytes)} for all`],
      ['Breaker', words(replica.breaker ?? '–')],
      ['Restarts', replica.restartsInWindow == null ? '–' : `${replica.restartsInWindow} of ${replica.maxRestarts ?? '?'} in the window`],
      ['Probes', replica.probes ? `startup ${replica.probes.startup}, readiness ${replica.probes.readiness}, liveness ${replica.probes.liveness}` : '–'],
    ];
    sync(facts, items, item => item[0], ([name]) => {
      const value = h('dd');
      return { element: h('div', {}, h('dt', {}, name), value), value };
    }, (view, [, value]) => {
      if (typeof value === 'string') text(view.value, value);
      else if (view.value.firstChild !== value) view.value.replaceChildren(value);
    });
  }

  function showSteps(replica) {
    const at = path.indexOf(replica.state);
    sync(steps, at >= 0 ? path : [...path, replica.state], step => step, step => h('li', {}, words(step)), (element, step) => {
      const here = step === replica.state;
      attr(element, 'aria-current', here ? 'step' : null);
      attr(element, 'class', here ? stateOf(step).look : at > path.indexOf(step) && path.includes(step) ? 'past' : '');
    });
  }

  async function showExit(replica) {
    if (!replica.lastExit) {
      exit.replaceChildren();
      lastExit = null;
      return;
    }
    if (lastExit === replica.lastExit.at) return;
    lastExit = replica.lastExit.at;
    const asked = backend;
    const answer = await fetch(replicaPath(asked));
    if (!answer.ok || backend !== asked) return;
    const { lastExit: full } = await answer.json();
    if (!full) return;
    const how = full.signal != null ? `signal ${full.signal}` : full.code != null ? `exit code ${full.code}` : 'not launched';
    exit.replaceChildren(
      h('h3', {}, `Last exit: ${words(full.cause)}`),
      h('p', {}, `${how}, at ${clock(full.at)}. ${full.advice}`),
      ...(full.log.length > 0 ? [h('details', {}, h('summary', {}, `Its last ${plural(full.log.length, 'line')}`), h('pre', { tabindex: '0' }, full.log.join('\n')))] : []));
  }

  sheet.addEventListener('close', () => {
    backend = null;
    log.close();
  });

  return {
    open(name) {
      backend = name;
      lastExit = undefined;
      exit.replaceChildren();
      text(byId('sheet-title'), name);
      if (!sheet.open) sheet.showModal();
    },
    show(status, history, now) {
      if (!backend) return;
      const model = status.models.find(one => one.replicas.some(replica => replica.backend === backend));
      const replica = model?.replicas.find(one => one.backend === backend);
      if (!replica) {
        sheet.close();
        return;
      }
      const own = replica.kind !== 'remote';
      state.show(replica.state);
      text(why, [replica.notRoutableBecause ?? ['It takes work.', replica.limitedBecause].filter(Boolean).join(' '), nextOf(replica, now, model)].filter(Boolean).join(' '));
      showSteps(replica);
      steps.hidden = !own;
      const possible = readOnly() || !own ? [] : Object.keys(verbs).filter(verb => verbs[verb](replica));
      sync(buttons, possible, verb => `${backend} ${verb}`, verb => h('button', { type: 'button', onclick: () => command(verb, replica.backend, `${replicaPath(replica.backend)}/${verb}`) }, capital(verb)), () => {});
      slots.show(replica.slots);
      memory.show(replica.residentBytes, replica.estimatedBytes);
      showFacts(replica, status, now);
      lines.show(history?.backends[backend]?.traffic);
      health.draw(history?.backends[backend]?.health);
      showExit(replica);
      if (own) log.open(backend);
      byId('log').hidden = !own;
    },
  };
}

// What a replica writes, as it writes it. Bounded; what does not hold the searched words is hidden, not lost.
function logView() {
  const box = byId('log-lines');
  const search = byId('log-search');
  const follow = byId('log-follow');
  const found = byId('log-found');
  let reading = null;
  let shown = null;

  const fits = line => !search.value || line.toLowerCase().includes(search.value.toLowerCase());

  function count() {
    text(found, search.value ? plural([...box.children].filter(line => !line.hidden).length, 'line') : '');
  }

  function add(lines) {
    const atEnd = follow.checked;
    for (const line of lines) {
      const element = h('div', {}, line);
      element.hidden = !fits(line);
      if (/\b(error|failed|fatal|terminate|abort)/i.test(line)) element.className = 'bad';
      else if (/\bwarn/i.test(line)) element.className = 'warn';
      box.append(element);
    }
    while (box.childElementCount > mostLines) box.firstElementChild.remove();
    if (search.value) count();
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  search.addEventListener('input', () => {
    for (const element of box.children) element.hidden = !fits(element.textContent);
    count();
  });
  follow.addEventListener('change', () => {
    if (follow.checked) box.scrollTop = box.scrollHeight;
  });
  box.addEventListener('wheel', event => {
    if (event.deltaY < 0) follow.checked = false;
  }, { passive: true });

  async function read(backend, signal) {
    let rest = '';
    try {
      const answer = await fetch(`${replicaPath(backend)}/logs?tail=500&follow=true`, { signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + value).split('\n');
        rest = lines.pop();
        add(lines);
      }
    } catch {
      // Closed, or broken off: the next status opens it again.
    }
    if (!signal.aborted) shown = null;
  }

  return {
    open(backend) {
      if (shown === backend) return;
      reading?.abort();
      reading = new AbortController();
      shown = backend;
      box.replaceChildren();
      read(backend, reading.signal);
    },
    close() {
      reading?.abort();
      reading = null;
      shown = null;
      search.value = '';
      box.replaceChildren();
      text(found, '');
    },
  };
}
