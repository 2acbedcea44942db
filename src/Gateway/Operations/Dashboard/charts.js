// Small pictures of the last quarter of an hour: a line of values, and a strip of how a backend has been.
import { attr } from './dom.js';

const svg = 'http://www.w3.org/2000/svg';
const width = 90;

function picture(label, height) {
  const element = document.createElementNS(svg, 'svg');
  attr(element, 'viewBox', `0 0 ${width} ${height}`);
  attr(element, 'preserveAspectRatio', 'none');
  attr(element, 'role', 'img');
  attr(element, 'aria-label', label);
  return element;
}

// A value a step; null breaks the line. Drawn from zero, so that a flat line that is high looks high.
export function sparkline(kind) {
  const height = 24;
  const element = picture('', height);
  attr(element, 'class', `spark ${kind}`);
  const area = element.appendChild(document.createElementNS(svg, 'path'));
  const line = element.appendChild(document.createElementNS(svg, 'path'));
  attr(area, 'class', 'area');
  attr(line, 'class', 'line');
  return {
    element,
    draw(values, label) {
      const top = Math.max(...(values ?? []).map(value => value ?? 0), 0);
      const x = i => (i + 0.5).toFixed(1);
      const y = value => (height - 1.5 - (top > 0 ? value / top : 0) * (height - 3)).toFixed(1);
      let path = '';
      let fill = '';
      let start = -1;
      (values ?? []).forEach((value, i) => {
        if (value == null) {
          if (start >= 0) fill += `L${x(i - 1)} ${height}L${x(start)} ${height}Z`;
          start = -1;
          return;
        }
        const step = `${start < 0 ? 'M' : 'L'}${x(i)} ${y(value)}`;
        path += start < 0 && values[i + 1] == null ? `${step}l.1 0` : step;
        fill += step;
        if (start < 0) start = i;
      });
      if (start >= 0) fill += `L${x(values.length - 1)} ${height}L${x(start)} ${height}Z`;
      attr(line, 'd', path);
      attr(area, 'd', fill);
      attr(element, 'aria-label', label);
    },
  };
}

const looks = { r: 'good', s: 'calm', d: 'calm', L: 'coming', B: 'warn', N: 'warn', D: 'bad', F: 'bad' };
const names = { r: 'took work', s: 'stopped', d: 'drained', L: 'started or loaded', B: 'busy', N: 'not ready', D: 'down', F: 'failed' };

export function strip() {
  const height = 14;
  const element = picture('', height);
  attr(element, 'class', 'strip');
  let drawn;
  return {
    element,
    draw(letters) {
      if (letters === drawn) return;
      drawn = letters;
      element.replaceChildren();
      const steps = {};
      for (let i = 0; i < (letters ?? '').length;) {
        const letter = letters[i];
        let end = i;
        while (letters[end] === letter) end++;
        if (looks[letter]) {
          steps[letter] = (steps[letter] ?? 0) + end - i;
          const bar = element.appendChild(document.createElementNS(svg, 'rect'));
          const tall = looks[letter] === 'good' || looks[letter] === 'calm' ? height - 4 : height;
          attr(bar, 'class', looks[letter]);
          attr(bar, 'x', i);
          attr(bar, 'y', (height - tall) / 2);
          attr(bar, 'width', end - i);
          attr(bar, 'height', tall);
        }
        i = end;
      }
      const told = Object.entries(steps).sort((a, b) => b[1] - a[1]).map(([letter, count]) => `${names[letter]} ${Math.max(1, Math.round(count / 6))} min`);
      attr(element, 'aria-label', `Last 15 minutes: ${told.join(', ') || 'nothing known'}`);
    },
  };
}
