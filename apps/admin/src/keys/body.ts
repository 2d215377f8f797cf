import { keySettingNames, parseDuration, readKeySettings } from '@millrace/shared/config';
import type { KeySettings } from '@millrace/shared/config';
import { AdminError, badField } from '../api/admin-error.ts';
import { parseTime, timeExpectation } from '../api/parameters.ts';
import type { KeyChange, NewKey } from './changes.ts';

/* The bodies of the requests that change keys. Each reader throws a 400 that names the field. */

/** Milliseconds for which the old secret of a rotated key stays valid, unless the request says otherwise. */
const defaultGraceMs = 24 * 3_600_000;
const longestGraceMs = 30 * 24 * 3_600_000;
/** Milliseconds from now. A number of milliseconds read as seconds is far beyond it. */
const latestExpiryMs = 100 * 366 * 24 * 3_600_000;
/** Every ingress holds all keys in memory. */
const mostItems: Readonly<Record<string, number>> = { models: 1000, ips: 256 };

type Body = Readonly<Record<string, unknown>>;

/** Letters and digits of any case: an id is a part of URLs, of metrics and of log lines. */
const idPattern = /^[A-Za-z0-9][\w.@:-]{0,99}$/;

/** `models`: the aliases of the config. */
export function readNewKey(value: unknown, models: readonly string[], now: number): NewKey {
  const { id, expires_at: expiry, ...rest } = readBody(value, ['id', ...changeable]);
  if (typeof id !== 'string' || !idPattern.test(id)) {
    const expected =
      '1 to 100 letters, digits, ".", "_", "-", "@" or ":", the first a letter or digit';
    throw badField('id', `expected ${expected}, found ${found(id)}`);
  }
  const settings = readSettings(withoutNull(rest), models);
  return { id, settings, expiresAt: readExpiry(expiry, now) ?? undefined };
}

export function readChange(value: unknown, models: readonly string[], now: number): KeyChange {
  const { expires_at: expiry, ...rest } = readBody(value, changeable);
  if (expiry === undefined && Object.keys(rest).length === 0) {
    throw badField('', `expected some of ${changeable.join(', ')}`);
  }
  const settings = readSettings(withoutNull(rest), models);
  // The other fields of the result are defaults.
  const given = Object.entries(settings).filter(([name]) => Object.hasOwn(rest, name));
  const ended = removable.filter((name) => rest[name] === null).map((name) => [name, undefined]);
  return {
    settings: { ...Object.fromEntries(given), ...Object.fromEntries(ended) },
    expiresAt: readExpiry(expiry, now),
  };
}

/** Milliseconds. No body: the default. */
export function readGrace(value: unknown): number {
  if (value === undefined) return defaultGraceMs;
  const { grace } = readBody(value, ['grace']);
  if (grace === undefined) return defaultGraceMs;
  const ms =
    grace === 0 || grace === '0' ? 0 : typeof grace === 'string' ? parseDuration(grace) : undefined;
  if (ms === undefined || ms > longestGraceMs) {
    throw badField(
      'grace',
      `expected 0 or a duration up to 30d such as 10m or 24h, found ${found(grace)}`,
    );
  }
  return ms;
}

const changeable: readonly string[] = [...keySettingNames, 'expires_at'];

function readBody(value: unknown, known: readonly string[]): Body {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badField('', `expected a JSON object, found ${found(value)}`);
  }
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue;
    const why = name === 'id' ? 'the id of a key does not change' : 'unknown field';
    throw badField(name.slice(0, 100), `${why}; expected some of ${known.join(', ')}`);
  }
  return value as Body;
}

function readSettings(value: Body, models: readonly string[]): KeySettings {
  for (const [name, most] of Object.entries(mostItems)) {
    const list = value[name];
    if (Array.isArray(list) && list.length > most) {
      throw badField(name, `expected at most ${most} items, found ${list.length}`);
    }
  }
  const read = readKeySettings(value, models);
  if (read.kind === 'read') return read.settings;
  const [first] = read.errors;
  const all = read.errors.map(({ field, message }) => `${field}: ${message}`).join('; ');
  throw new AdminError(400, 'invalid_value', all, first?.field ?? null);
}

/** Undefined: not given. Null: none. */
function readExpiry(value: unknown, now: number): number | null | undefined {
  if (value === undefined || value === null) return value;
  const isText = typeof value === 'string' || typeof value === 'number';
  const ms = isText ? parseTime(String(value)) : undefined;
  if (ms === undefined) throw badField('expires_at', `${timeExpectation}, found ${found(value)}`);
  if (ms <= now) {
    throw badField('expires_at', `expected a time to come, found ${new Date(ms).toISOString()}`);
  }
  if (ms > now + latestExpiryMs) {
    const year = new Date(ms).getUTCFullYear();
    throw badField(
      'expires_at',
      `expected a time of the next 100 years, as RFC 3339 or in seconds, found ${found(value)} (the year ${year})`,
    );
  }
  return ms;
}

/** Settings that `null` removes. */
const removable = ['limits', 'budget'];

const withoutNull = (body: Body): Body =>
  Object.fromEntries(
    Object.entries(body).filter(
      ([name, value]) => !removable.includes(name) || (value !== null && value !== undefined),
    ),
  );

function found(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
