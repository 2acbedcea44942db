// Commands: asked for once more, sent with the page's own secret, and told how they went.
import { byId, h, text } from './dom.js';

const session = fetch('api/session').then(answer => answer.json());

export const encode = encodeURIComponent;

export function replicaPath(backend) {
  const cut = backend.lastIndexOf('/');
  return `api/replicas/${encode(backend.slice(0, cut))}/${backend.slice(cut + 1)}`;
}

const consequences = {
  restart: 'What runs there may finish first; then the process ends and another starts.',
  drain: 'It gets no new work; what runs there may finish. The process stays.',
  resume: 'It gets work again.',
  stop: 'What runs there may finish; then the process ends and stays down.',
  start: 'A process is started.',
  reset: 'Its failures are forgotten, and it is started again.',
  load: 'The model is loaded.',
  unload: 'What runs may finish; then its processes end.',
  rolling: 'One replica after another is drained and replaced; the others go on working.',
  cancel: 'Its client sees the connection break.',
};

export const capital = word => word[0].toUpperCase() + word.slice(1);

function confirmed(title, consequence, verb) {
  const dialog = byId('confirm');
  text(byId('confirm-title'), title);
  text(byId('confirm-text'), consequence);
  text(byId('confirm-yes'), verb);
  dialog.returnValue = '';
  dialog.showModal();
  byId('confirm-yes').focus();
  return new Promise(resolve => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }));
}

export async function command(verb, subject, path) {
  if (!await confirmed(`${capital(verb === 'rolling' ? 'restart' : verb)} ${subject}?`, consequences[verb], capital(verb === 'rolling' ? 'restart' : verb))) return;
  try {
    const { csrf } = await session;
    const answer = await fetch(path, { method: 'POST', headers: csrf ? { 'x-llmgateway-csrf': csrf } : {} });
    const problem = answer.ok ? null : (await answer.json()).error.message;
    toast(problem ?? `${capital(verb === 'rolling' ? 'restart' : verb)} of ${subject} is under way.`, problem ? 'bad' : 'good');
  } catch {
    toast('The gateway can not be reached.', 'bad');
  }
}

export function toast(message, look) {
  const element = h('p', { class: `toast ${look}` }, message);
  byId('toasts').append(element);
  setTimeout(() => element.remove(), 6000);
}

export async function logout() {
  const { csrf } = await session;
  await fetch('logout', { method: 'POST', headers: csrf ? { 'x-llmgateway-csrf': csrf } : {} });
  location.reload();
}
