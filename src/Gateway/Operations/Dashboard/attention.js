// What a person should look at, most urgent first: what is wrong, why, and what happens next. Pure: a status and a time in, sentences out.
import { bytes, inTime, milliseconds, plural, seconds, words } from './format.js';

// Where a replica can be: how bad that is, its mark (never the colour alone), and whether it is on its way.
export const states = {
  ready: { look: 'good', mark: '●' },
  busy: { look: 'warn', mark: '▲' },
  not_ready: { look: 'warn', mark: '▲' },
  queued: { look: 'coming', mark: '◔' },
  starting: { look: 'coming', mark: '◔' },
  loading: { look: 'coming', mark: '◑' },
  warming: { look: 'coming', mark: '◕' },
  draining: { look: 'calm', mark: '◌' },
  stopping: { look: 'calm', mark: '◌' },
  stopped: { look: 'calm', mark: '○' },
  killing: { look: 'bad', mark: '↻' },
  backoff: { look: 'bad', mark: '↻' },
  failed: { look: 'bad', mark: '✕' },
  stuck: { look: 'bad', mark: '✕' },
};

export const stateOf = name => states[name] ?? { look: 'calm', mark: '?' };

const rank = { bad: 0, warn: 1, coming: 2, calm: 3 };
const slowWait = 5;

export function nextOf(replica, now, model) {
  switch (replica.state) {
    case 'ready':
      return null;
    case 'failed':
    case 'backoff':
      return replica.nextTryAt ? `It is tried again ${inTime(replica.nextTryAt, now)}.` : 'Nothing happens until somebody starts or resets it.';
    case 'queued':
      return 'It starts as soon as another start has finished.';
    case 'starting':
    case 'loading':
    case 'warming':
      return 'It takes work as soon as it has loaded.';
    case 'busy':
      return 'It takes work again as soon as it answers.';
    case 'not_ready':
      return 'It takes work again as soon as its readiness probe passes.';
    case 'draining':
      return 'What runs there may finish; resume gives it new work.';
    case 'stopping':
      return 'It ends when it has let go of its work.';
    case 'killing':
      return 'It starts again when the process is gone.';
    case 'stopped':
      return model?.state === 'unloaded' ? null : 'It stays down until somebody starts it.';
    case 'stuck':
      return 'Its machine needs a person: the kernel can not end the process.';
    default:
      return null;
  }
}

const sentence = text => (text ? (/[.!?]$/.test(text) ? text : `${text}.`) : '');

function ofReplica(model, replica, now) {
  const state = stateOf(replica.state);
  if (state.look === 'good' || (replica.state === 'stopped' && model.state !== 'stopped')) return null;
  const down = state.look === 'bad';
  const budget = replica.maxRestarts != null && replica.restartsInWindow > 0 ? ` ${replica.restartsInWindow} of ${replica.maxRestarts} restarts are used.` : '';
  return {
    level: state.look,
    subject: replica.backend,
    title: down ? `${replica.backend} is down` : `${replica.backend} is ${words(replica.state)}`,
    why: sentence(replica.notRoutableBecause),
    next: `${nextOf(replica, now, model) ?? ''}${down ? budget : ''}`,
    command: replica.state === 'failed' ? 'reset' : replica.state === 'stopped' ? 'start' : replica.state === 'draining' ? 'resume' : null,
  };
}

function ofQueue(model) {
  const { depth, limit, oldestAgeSeconds } = model.queue;
  const full = limit > 0 && depth >= limit * 0.8;
  if (depth === 0 || (oldestAgeSeconds < slowWait && !full)) return null;
  const total = model.replicas.reduce((sum, replica) => sum + (replica.state === 'ready' ? replica.slots.total : 0), 0);
  return {
    level: full ? 'bad' : 'warn',
    subject: model.name,
    title: `${model.name} is ${full ? 'full' : 'slow'}: ${plural(depth, 'request')} wait, the first for ${seconds(oldestAgeSeconds)}`,
    why: total > 0 ? `All ${total} slots of its ready backends are busy.` : 'None of its backends takes work.',
    next: full ? `Beyond ${limit} waiting, requests are refused with 429.` : 'They go on in order as slots become free.',
    command: null,
  };
}

function ofFirstToken(model, series) {
  if (!series) return null;
  const values = series.firstTokenMs.filter(value => value != null);
  const recent = series.firstTokenMs.slice(-6).filter(value => value != null);
  if (values.length < 12 || recent.length === 0) return null;
  const usual = values.toSorted((a, b) => a - b)[values.length >> 1];
  const now = recent.reduce((sum, value) => sum + value, 0) / recent.length;
  return now < 1000 || now < 3 * usual ? null : {
    level: 'warn',
    subject: model.name,
    title: `${model.name} is slow: first tokens take ${milliseconds(now)}, usually ${milliseconds(usual)}`,
    why: model.queue.depth > 0 ? 'Requests wait for a slot.' : 'Prompts are long, or the machine is short of something.',
    next: 'Nothing by itself.',
    command: null,
  };
}

function ofGateway({ gateway, models }) {
  const items = [];
  const add = (level, title, why, next) => items.push({ level, subject: 'gateway', title, why, next, command: null });
  if (gateway.draining) add('warn', 'The gateway is draining', 'It was asked to stop.', 'New requests are refused; it ends when the others have.');
  if (gateway.config.errors.length > 0) add('warn', 'The configuration file has errors', gateway.config.errors[0], 'The last good configuration stays in force.');
  const used = models.flatMap(model => model.replicas).reduce((sum, replica) => sum + (replica.residentBytes ?? 0), 0);
  if (used > gateway.memory.budgetBytes) add('warn', `Models use ${bytes(used)} of ${bytes(gateway.memory.budgetBytes)}`, 'That is more than Memory:Budget allows for.', 'The kernel may end one of them.');
  if (gateway.process.poolPending > 1000) add('warn', 'The gateway itself is short of threads', `${gateway.process.poolPending} work items wait.`, 'Answers are late until that is over.');
  return items;
}

export function attention(status, history, now) {
  const items = ofGateway(status);
  let total = 0;
  let ready = 0;
  let down = 0;
  for (const model of status.models) {
    items.push(ofQueue(model), ofFirstToken(model, history?.models[model.name]));
    if (model.replicas.length === 0) items.push({ level: 'calm', subject: model.name, title: `${model.name} is not loaded`, why: '', next: 'It loads with the first request.', command: null });
    for (const replica of model.replicas) {
      total++;
      ready += replica.state === 'ready' ? 1 : 0;
      down += stateOf(replica.state).look === 'bad' ? 1 : 0;
      items.push(ofReplica(model, replica, now));
      if (replica.overdue) {
        items.push({ level: 'warn', subject: replica.backend, title: `${replica.backend} should have been unloaded`, why: `It has been idle for ${seconds(replica.idleSeconds)}, longer than IdleTimeout.`, next: 'Nothing by itself: unload its model, and look into the log.', command: null });
      }
      // Of one that is down its breaker says nothing new.
      if (replica.state === 'ready' && ['open', 'half_open'].includes(replica.breaker)) {
        items.push({ level: 'warn', subject: replica.backend, title: `The breaker of ${replica.backend} is ${words(replica.breaker)}`, why: 'It ended, or too many of its answers failed.', next: 'One request tries it out; when that is served, its slots are opened one by one.', command: null });
      }
    }
  }

  const found = items.filter(Boolean).sort((a, b) => rank[a.level] - rank[b.level]);
  return { verdict: verdict(status, found, total, ready, down), items: found };
}

function verdict(status, items, total, ready, down) {
  const waiting = status.models.reduce((sum, model) => sum + model.queue.depth, 0);
  const load = `${plural(status.gateway.requestsInFlight, 'request')} in the gateway, ${waiting === 0 ? 'none waits' : `${waiting} of them wait`}.`;
  const of = (level, text) => ({ level, text, load });
  if (total === 0) return of('calm', status.models.length === 0 ? 'No model is configured.' : 'No model is loaded.');
  if (down > 0) return of('bad', ready === 0 ? `No backend takes work: ${down} of ${total} are down.` : `${down} of ${total} backends ${down === 1 ? 'is' : 'are'} down; ${ready} take work.`);
  const worst = items[0];
  if (worst?.level === 'bad' || worst?.level === 'warn') return of(worst.level, `${worst.title}.`);
  if (ready === total) return of('good', total === 1 ? 'The backend takes work.' : `All ${total} backends take work.`);
  return of('coming', `${ready} of ${total} backends take work.`);
}
