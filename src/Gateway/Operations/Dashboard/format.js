// Numbers and times as people read them. Pure.

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(count) {
  if (count == null) return '–';
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function seconds(value) {
  if (value == null) return '–';
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 100) return `${Math.round(value)} s`;
  const minutes = value / 60;
  if (minutes < 100) return `${Math.round(minutes)} min`;
  const hours = minutes / 60;
  return hours < 48 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} d`;
}

export const milliseconds = value => (value == null ? '–' : seconds(value / 1000));

export function number(value) {
  if (value == null) return '–';
  if (value >= 10_000) return `${(value / 1000).toFixed(value >= 100_000 ? 0 : 1)} k`;
  return value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
}

export const plural = (count, word, words = `${word}s`) => `${count} ${count === 1 ? word : words}`;

export const clock = date => new Date(date).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });

export const since = (date, now) => seconds(Math.max(0, (now - new Date(date).getTime()) / 1000));

export const inTime = (date, now) => {
  const left = (new Date(date).getTime() - now) / 1000;
  return left < 1 ? 'any moment now' : `in ${left < 100 ? `${Math.round(left)} s` : seconds(left)}`;
};

export const words = text => text.replaceAll('_', ' ');
