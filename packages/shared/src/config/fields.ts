import { isIP } from 'node:net';
import { z } from 'zod';
import type { Prefill } from '../domain/request.ts';
import { webhookUrlProblem } from '../domain/webhook.ts';
import { parseRedisUrl, redisUrlExpectation } from './redis-url.ts';
import {
  settings,
  type ChoiceSetting,
  type CountSetting,
  type DurationSetting,
  type Setting,
  type SizeSetting,
  type ToggleSetting,
} from './setting-defaults.ts';
import { parseBytes, parseDuration } from './units.ts';

/** The result of a field's reader: the value, or what it expected (the words after "expected"). */
export type Read<T> = { readonly value: T } | { readonly expected: string };

/** A problem in a field. `confidential`: the value found is a secret and is never shown. */
export type FieldProblem = { readonly expected: string; readonly confidential: boolean };

/**
 * Makes a zod schema for one field from a plain reader, so that flags, variables and the file follow
 * the same rules and every message has the same form.
 */
export function field<T>(read: (value: unknown) => Read<T>, confidential = false): z.ZodType<T> {
  return z.unknown().transform((value, context): T => {
    const result = read(value);
    if ('value' in result) return result.value;
    const problem: FieldProblem = { expected: result.expected, confidential };
    context.issues.push({
      code: 'custom',
      message: result.expected,
      input: value,
      params: problem,
    });
    return z.NEVER;
  });
}

type Named<S> = {
  [K in keyof typeof settings]: (typeof settings)[K] extends S ? K : never;
}[keyof typeof settings];

export const durationField = (name: Named<DurationSetting>) =>
  withDefault(name, readDuration(settings[name]));
export const sizeField = (name: Named<SizeSetting>) => withDefault(name, readSize(settings[name]));
export const countField = (name: Named<CountSetting>) =>
  withDefault(name, readCount(settings[name]));
export const toggleField = (name: Named<ToggleSetting>) => withDefault(name, readToggle);

export function choiceField<T extends string>(setting: ChoiceSetting<T>) {
  return field(readChoice(setting.options)).default(() => setting.default);
}

function withDefault<T extends number | boolean>(
  name: keyof typeof settings,
  read: (value: unknown) => Read<T>,
) {
  return field(read).default(() => settings[name].default as never);
}

export function readDuration(setting: DurationSetting) {
  return within(setting, 'a duration such as 250ms, 10s or 5m', (value) =>
    typeof value === 'string' ? parseDuration(value) : undefined,
  );
}

export function readSize(setting: SizeSetting) {
  return within(setting, 'a size such as 65536, 256KiB or 16MiB', (value) =>
    typeof value === 'string' || typeof value === 'number' ? parseBytes(String(value)) : undefined,
  );
}

export function readCount(setting: Pick<CountSetting, 'min' | 'max' | 'written'>) {
  return within(setting, 'a whole number', wholeNumber);
}

/** A count without a default and without a bound other than "at least one". */
export const limitField = field(
  readCount({ min: 1, max: 1e12, written: { default: '', min: '1', max: '1000000000000' } }),
).optional();

function wholeNumber(value: unknown): number | undefined {
  // The value of a variable is always a string.
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) ? number : undefined;
}

function within(
  { min, max, written }: Pick<Extract<Setting, { min: number }>, 'min' | 'max' | 'written'>,
  expected: string,
  parse: (value: unknown) => number | undefined,
) {
  return (value: unknown): Read<number> => {
    const number = parse(value);
    if (number !== undefined && number >= min && number <= max) return { value: number };
    const kind = expected.split(' such as ')[0];
    if (number === undefined && expected !== kind) return { expected };
    return { expected: `${kind} from ${written.min} to ${written.max}` };
  };
}

export const readToggle = (value: unknown): Read<boolean> => {
  if (value === true || value === 'true') return { value: true };
  if (value === false || value === 'false') return { value: false };
  return { expected: 'true or false' };
};

/** Milliseconds of the longest window: a reader's pauses stay below 100 ms with it. */
const longestCoalesceMs = 60;

/** `auto`, or the milliseconds of a window; `0` needs no unit. */
export function readCoalesce(value: unknown): Read<'auto' | number> {
  if (value === 'auto') return { value };
  const ms =
    String(value) === '0' ? 0 : typeof value === 'string' ? parseDuration(value) : undefined;
  return ms !== undefined && ms <= longestCoalesceMs
    ? { value: ms }
    : { expected: `auto, 0 or a duration up to ${longestCoalesceMs}ms, such as 25ms` };
}

export const readPrefill = (value: unknown): Read<Prefill> => {
  if (value === 'with-tools') return { value };
  const toggle = readToggle(value);
  return 'value' in toggle ? toggle : { expected: 'true, false or with-tools' };
};

export function readChoice<const T extends string>(options: readonly T[]) {
  return (value: unknown): Read<T> => {
    const option = options.find((candidate) => candidate === value);
    return option === undefined ? { expected: `one of ${options.join(', ')}` } : { value: option };
  };
}

export function readText(expected: string) {
  return (value: unknown): Read<string> =>
    typeof value === 'string' && value.trim() !== '' ? { value } : { expected };
}

export function readSha256(value: unknown): Read<string> {
  return typeof value === 'string' && /^[0-9a-f]{64}$/i.test(value)
    ? { value: value.toLowerCase() }
    : { expected: 'the SHA-256 of a key in 64 hexadecimal digits' };
}

export function readRedisUrl(value: unknown): Read<string> {
  return typeof value === 'string' && parseRedisUrl(value)
    ? { value }
    : { expected: redisUrlExpectation };
}

/** A share of all, from 0 to 1. The value of a variable is always a string. */
export function readShare(value: unknown): Read<number> {
  const number = typeof value === 'string' && /^[\d.]+$/.test(value) ? Number(value) : value;
  const isShare = typeof number === 'number' && number >= 0 && number <= 1;
  return isShare ? { value: number } : { expected: 'a number from 0 to 1, such as 0.1' };
}

/** USD per million tokens. */
export function readPrice(value: unknown): Read<number> {
  const isPrice = typeof value === 'number' && value >= 0 && value <= maxPrice;
  return isPrice ? { value } : { expected: 'USD per million tokens, from 0 to 1,000,000' };
}

const maxPrice = 1_000_000;

export function readTokens(value: unknown): Read<number> {
  const isCount = Number.isInteger(value) && Number(value) > 0 && Number(value) <= maxTokens;
  return isCount
    ? { value: Number(value) }
    : { expected: 'a number of tokens, from 1 to 1,000,000,000' };
}

const maxTokens = 1_000_000_000;

/** USD. Sums of such amounts, in billionths, are exact. */
export function readMoney(value: unknown): Read<number> {
  const amount = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  const isAmount = typeof amount === 'number' && amount >= 0 && amount <= maxMoney;
  return isAmount ? { value: amount } : { expected: 'USD, from 0 to 1,000,000' };
}

const maxMoney = 1_000_000;

/** `sqlite:PATH`, a URL of PostgreSQL, or `none`. */
/** The URL with which `npm start` keeps no ledger. */
export const noDatabase = 'none';

export function readDatabaseUrl(value: unknown): Read<string> {
  const isSqlite = typeof value === 'string' && /^sqlite:(?!\/\/).+/.test(value);
  const isPostgres =
    typeof value === 'string' && /^postgres(ql)?:\/\//.test(value) && URL.canParse(value);
  return isSqlite || isPostgres || value === noDatabase
    ? { value }
    : { expected: 'sqlite:PATH, postgres://user:password@host/database, or none' };
}

export function readBaseUrl(value: unknown): Read<string> {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  const plain = url && /^https?:$/.test(url.protocol) && !url.username && !url.password;
  if (!plain || url.search || url.hash) {
    return { expected: 'an http or https URL without login, query or fragment' };
  }
  return { value: url.href.replace(/\/+$/, '') };
}

/** Whether http is allowed is a rule that `allowPrivate` decides (rules.ts). */
export function readWebhookUrl(value: unknown): Read<string> {
  const expected = webhookUrlProblem(value, true);
  return expected === undefined ? { value: String(value) } : { expected };
}

/** In the form of the Standard Webhooks specification. */
export function readWebhookSecret(value: unknown): Read<string> {
  const [, base64 = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(String(value)) ?? [];
  const bytes = Buffer.from(base64, 'base64').length;
  return typeof value === 'string' && bytes >= 24 && bytes <= 64 && base64.length % 4 === 0
    ? { value }
    : { expected: 'whsec_ and 24 to 64 bytes in base64, as of `openssl rand -base64 32`' };
}

export function readProxyUrl(value: unknown): Read<string> {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  const plain = url?.protocol === 'http:' && url.pathname === '/' && !url.search && !url.hash;
  return plain ? { value: url.href } : { expected: 'an http URL of a proxy, without a path' };
}

/** In the notation of curl and HTTP public key pinning, with or without the algorithm before it. */
export function readPin(value: unknown): Read<string> {
  const [, pin] = /^(?:sha256(?:\/\/|\/|:))?([0-9A-Za-z+/]{43}=)$/.exec(String(value)) ?? [];
  return pin === undefined
    ? { expected: 'the SHA-256 of a public key in base64, such as sha256/…= (44 characters)' }
    : { value: pin };
}

export function readHeaderValue(value: unknown): Read<string> {
  const isText = typeof value === 'string' && /^[!-~](?:[\t -~]*[!-~])?$/.test(value);
  return isText
    ? { value }
    : { expected: 'visible ASCII characters, without blanks at the beginning or end' };
}

/** An address, or a range of them in CIDR notation. */
export function readAddressRange(value: unknown): Read<string> {
  const [address, prefix, ...rest] = typeof value === 'string' ? value.split('/') : [];
  const bits = isIP(address ?? '') === 4 ? 32 : isIP(address ?? '') === 6 ? 128 : -1;
  const prefixFits = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits);
  return typeof value === 'string' && bits > 0 && prefixFits && rest.length === 0
    ? { value }
    : { expected: 'an IP address or a range such as 10.0.0.0/8' };
}

/** An address range, but never all addresses: a trusted proxy can claim any client address. */
export function readProxyRange(value: unknown): Read<string> {
  const isAll = typeof value === 'string' && /\/0+$/.test(value);
  return isAll
    ? { expected: 'an IP address or a range that does not contain all addresses' }
    : readAddressRange(value);
}

/** In the form that browsers send: scheme, host and port only. */
export function readOrigin(value: unknown): Read<string> {
  if (value === '*') return { value };
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  const isOrigin = url && url.origin !== 'null' && url.href === `${url.origin}/`;
  return isOrigin
    ? { value: url.origin }
    : { expected: 'an origin such as https://app.example.com, or "*"' };
}
