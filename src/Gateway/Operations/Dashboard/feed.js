// Where all data comes from: one stream of events; when that can't be had, the same by asking every two seconds. Nothing while the page is hidden.

const poll = 2000;
const patience = 6000;

export function feed(show) {
  let source = null;
  let timer = null;
  let heard = 0;
  let lastEvent = 0;

  const say = (how, detail) => show.connection(how, detail);

  function open() {
    close();
    heard = Date.now();
    source = new EventSource('api/live');
    const on = (name, handle) => source.addEventListener(name, message => {
      heard = Date.now();
      stopPolling();
      say('live');
      handle(JSON.parse(message.data));
    });
    on('status', show.status);
    on('requests', show.requests);
    on('history', show.history);
    on('events', events => tell(events));
    source.onerror = () => {
      if (source?.readyState === EventSource.CLOSED) startPolling();
    };
  }

  function tell(events) {
    const fresh = events.filter(event => event.id > lastEvent);
    if (fresh.length === 0) return;
    lastEvent = fresh.at(-1).id;
    show.events(fresh);
  }

  function startPolling() {
    if (timer) return;
    say('polling');
    timer = setInterval(ask, poll);
    ask();
  }

  function stopPolling() {
    clearInterval(timer);
    timer = null;
  }

  async function get(path) {
    const answer = await fetch(path, { headers: { accept: 'application/json' }, signal: AbortSignal.timeout(poll * 2) });
    if (answer.status === 401) location.reload();
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer.json();
  }

  async function ask() {
    try {
      show.status(await get('api/status'));
      show.requests(await get('api/requests?limit=50'));
      tell(await get(`api/events?after=${lastEvent}`));
      show.history(await get('api/history'));
      say('polling');
      if (source === null || source.readyState === EventSource.CLOSED) open();
    } catch {
      say('lost');
    }
  }

  function close() {
    source?.close();
    source = null;
  }

  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      close();
      stopPolling();
    } else {
      open();
    }
  });

  // A stream that says nothing although the connection stands: a proxy that gathers, a machine that slept.
  setInterval(() => {
    if (!document.hidden && Date.now() - heard > patience) startPolling();
  }, 1000);

  if (!document.hidden) open();
}
