/* Figures as an operator reads them. */

/** `0.3s`, `12s`, `5m 3s`, `2h 10m`, `3d 4h`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${(Math.round(ms / 100) / 10).toString()}s`;
  const seconds = Math.round(ms / 1000);
  const [d, h, m, s] = [
    Math.floor(seconds / 86_400),
    Math.floor((seconds % 86_400) / 3600),
    Math.floor((seconds % 3600) / 60),
    seconds % 60,
  ];
  if (d > 0) return h > 0 ? `${d}d ${h}h` : `${d}d`;
  if (h > 0) return m > 0 ? `${h}h ${m}m` : `${h}h`;
  if (m > 0) return s > 0 ? `${m}m ${s}s` : `${m}m`;
  return `${s}s`;
}

export const milliseconds = (ms: number): string =>
  ms < 10 ? `${Math.round(ms * 10) / 10} ms` : `${Math.round(ms)} ms`;

/** In USD; an unknown price is a question mark, never 0. */
export const money = (usd: number | null): string =>
  usd === null ? '?' : usd.toFixed(usd !== 0 && Math.abs(usd) < 0.01 ? 6 : 4);

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count} ${count === 1 ? one : many}`;

export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [value, unit] = [count, 0];
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `2026-11-30T08:00:00.123Z` without the milliseconds. */
export const clock = (time: string): string => time.replace(/\.\d+Z$/, 'Z');
