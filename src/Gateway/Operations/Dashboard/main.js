// Puts it together: data in, page out; keys, theme, filter.
import { since } from './format.js';
import { attention } from './attention.js';
import { attr, byId, text } from './dom.js';
import { feed } from './feed.js';
import { logout } from './commands.js';
import { showModels } from './models.js';
import { replicaSheet } from './replica.js';
import { eventList, requestList, showKeys, showVerdict, tiles } from './panels.js';

let status = null;
let history = null;
let requests = null;

const readOnly = () => status?.gateway.readOnly ?? true;
const sheet = replicaSheet(readOnly);
const showTiles = tiles();
const showRequests = requestList(readOnly);
const open = backend => {
  sheet.open(backend);
  draw();
};
const showEvents = eventList(open);

let drawing = 0;

// At most once a frame, however much has come.
function draw() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    if (!status) return;
    const now = Date.now();
    showVerdict(attention(status, history, now), readOnly(), open);
    showTiles(status, history);
    const shown = showModels(status, history, byId('filter').value.trim().toLowerCase(), byId('only-trouble').checked, now, open);
    const all = status.models.reduce((count, model) => count + model.replicas.length, 0);
    text(byId('shown'), shown === all ? '' : `${shown} of ${all} backends`);
    showKeys(status.keys);
    sheet.show(status, history, now);
    if (requests) showRequests(requests, now);
    const { gateway } = status;
    text(byId('about'), `Version ${gateway.version}, up ${since(gateway.startedAt, now)}, configuration ${gateway.config.path ?? 'from the command line'}`);
    attr(byId('read-only'), 'hidden', !gateway.readOnly);
    document.body.dataset.ready = 'true';
  });
}

const connections = { live: ['●', 'live', 'good'], polling: ['◑', 'asking every 2 s', 'coming'], lost: ['✕', 'connection lost, trying again', 'bad'] };

feed({
  status: next => { status = next; draw(); },
  requests: next => { requests = next; draw(); },
  history: next => { history = next; draw(); },
  events: showEvents,
  connection(how) {
    const [mark, said, look] = connections[how];
    attr(byId('connection'), 'class', look);
    text(byId('connection-mark'), mark);
    text(byId('connection-text'), said);
  },
});

byId('filter').addEventListener('input', draw);
byId('only-trouble').addEventListener('change', draw);
byId('logout').addEventListener('click', logout);
for (const button of document.querySelectorAll('[data-close]')) button.addEventListener('click', () => button.closest('dialog').close());

// Dark or light: as the system says, until somebody says otherwise.
const themes = { auto: 'Theme: system', dark: 'Theme: dark', light: 'Theme: light' };
function theme(name) {
  document.documentElement.dataset.theme = name;
  text(byId('theme'), themes[name]);
  try { localStorage.setItem('theme', name); } catch { /* a browser that keeps nothing */ }
}
let chosen = 'auto';
try { chosen = localStorage.getItem('theme') ?? 'auto'; } catch { /* a browser that keeps nothing */ }
theme(themes[chosen] ? chosen : 'auto');
byId('theme').addEventListener('click', () => {
  const names = Object.keys(themes);
  theme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
});

// Keys: / filters, j and k go through the backends, ? tells.
document.addEventListener('keydown', event => {
  const typing = event.target.closest('input, select, textarea');
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (event.key === 'Escape' && event.target === byId('filter')) {
    byId('filter').value = '';
    draw();
    return;
  }
  if (typing) return;
  if (event.key === '/') {
    event.preventDefault();
    byId('filter').focus();
  } else if (event.key === '?') {
    byId('help').showModal();
  } else if (['j', 'k', 'ArrowDown', 'ArrowUp'].includes(event.key)) {
    const rows = [...document.querySelectorAll('#groups .backends:not([hidden]) .name')];
    const at = rows.indexOf(document.activeElement);
    if (event.key.startsWith('Arrow') && at < 0) return;
    event.preventDefault();
    rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + (event.key === 'j' || event.key === 'ArrowDown' ? 1 : -1)))]?.focus();
  }
});

setInterval(draw, 1000);
