import { serverNow } from '../api/server-clock.ts';

/* Numbers, times and money as the pages show them. `–` stands for what is not known. */

export const unknown = '–';

/** `840 ms`, `3.42 s`, `30 s`, `12.1 min`, `3.4 h`, `2.1 d`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return unknown;
  const abs = Math.abs(ms);
  if (abs < 1) return '0 ms';
  if (abs < 1000) return `${Math.round(ms)} ms`;
  if (abs < 60_000) return `${rounded(ms / 1000, abs < 10_000 ? 2 : 1)} s`;
  if (abs < 3_600_000) return `${rounded(ms / 60_000, 1)} min`;
  if (abs < 86_400_000) return `${rounded(ms / 3_600_000, 1)} h`;
  return `${rounded(ms / 86_400_000, 1)} d`;
}

/** `1.5`, `15`: with so many decimals at most. */
const rounded = (value: number, decimals: number): string =>
  String(Number(value.toFixed(decimals)));

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** `842`, `12.4K`, `3.1M`. */
export const count = (value: number | null | undefined): string => {
  if (value === null || value === undefined) return unknown;
  return Math.abs(value) < 10_000 ? whole.format(value) : compact.format(value);
};

/** `512 B`, `3.4 MiB`. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return unknown;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(Math.floor(Math.log2(Math.max(1, value)) / 10), units.length - 1);
  return `${(value / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** `$12.40`, `$0.0031`: as many digits as a small amount needs. */
export function usd(value: number | null | undefined): string {
  if (value === null || value === undefined) return unknown;
  if (value === 0) return '$0';
  const abs = Math.abs(value);
  const digits = abs >= 1 ? 2 : abs >= 0.01 ? 4 : 6;
  return `${value < 0 ? '−' : ''}$${abs.toLocaleString('en', { minimumFractionDigits: Math.min(digits, 2), maximumFractionDigits: digits })}`;
}

/** `99.95 %` of a share between 0 and 1. */
export const percent = (share: number | null | undefined, digits = 1): string =>
  share === null || share === undefined ? unknown : `${(share * 100).toFixed(digits)} %`;

/** As `percent`, rounded down: 99.996 % is not 100 %. */
export function percentDown(share: number | null | undefined, digits = 1): string {
  if (share === null || share === undefined) return unknown;
  // A binary fraction may be a little less than what it stands for.
  const scale = 100 * 10 ** digits;
  return percent(Math.floor(share * scale + 1e-6) / scale, digits);
}

/** Time since a moment, e.g. `12 s ago`. `now` for tests and for one clock on a page. */
export function ago(at: string | number | null | undefined, now = serverNow()): string {
  const time = timeOf(at);
  if (time === undefined) return unknown;
  const ms = Math.max(0, now - time);
  if (ms < 1000) return 'now';
  if (ms < 60_000) return `${Math.round(ms / 1000)} s ago`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min ago`;
  if (ms < 86_400_000) return `${Math.round(ms / 3_600_000)} h ago`;
  return `${Math.round(ms / 86_400_000)} d ago`;
}

// Made once: a list formats hundreds of times a second.
const timeOfDay = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const day = new Intl.DateTimeFormat('en-CA', { dateStyle: 'short' });

/** The local time of day, with the date if it is another day. */
export function clock(at: string | number | null | undefined, now = serverNow()): string {
  const time = timeOf(at);
  if (time === undefined) return unknown;
  const date = new Date(time);
  const text = timeOfDay.format(date);
  return new Date(now).toDateString() === date.toDateString()
    ? text
    : `${day.format(date)} ${text}`;
}

function timeOf(at: string | number | null | undefined): number | undefined {
  if (at === null || at === undefined) return undefined;
  const time = typeof at === 'number' ? at : Date.parse(at);
  return Number.isNaN(time) ? undefined : time;
}

/** A request's id without what all ids begin with: its last 8 characters. */
export const shortId = (id: string): string => id.slice(-8);

/** `1 request`, `12.4K requests`. */
export const plural = (value: number, noun: string): string =>
  `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
