import type { Budget, Key, Limits, Priority } from './types.ts';

/* What the key's form holds, and what the API gets and says of it. Pure. */

/** Texts as they stand in the fields; an empty number is no limit. */
export type FormValues = {
  id: string;
  allModels: boolean;
  models: readonly string[];
  ips: string;
  priority: Priority;
  weight: string;
  debug: boolean;
  /** Local time, as `<input type=datetime-local>` has it. */
  expiresAt: string;
  limits: Record<keyof Limits, string>;
  budget: Record<keyof Budget, string>;
};

export const limitNames = ['requestsPerMinute', 'tokensPerMinute', 'concurrent'] as const;
export const budgetNames = ['day', 'month', 'tokensPerDay', 'tokensPerMonth'] as const;

export function valuesOf(key: Key | undefined): FormValues {
  const text = (value: number | undefined) => (value === undefined ? '' : String(value));
  const allModels = key === undefined || key.models.includes('*');
  return {
    id: key?.id ?? '',
    allModels,
    models: allModels ? [] : key.models,
    ips: key?.ips.join('\n') ?? '',
    priority: key?.priority ?? 'normal',
    weight: text(key?.weight ?? 1),
    debug: key?.debug ?? false,
    expiresAt: localTime(key?.expires_at ?? null),
    limits: {
      requestsPerMinute: text(key?.limits?.requestsPerMinute),
      tokensPerMinute: text(key?.limits?.tokensPerMinute),
      concurrent: text(key?.limits?.concurrent),
    },
    budget: {
      day: text(key?.budget?.day),
      month: text(key?.budget?.month),
      tokensPerDay: text(key?.budget?.tokensPerDay),
      tokensPerMonth: text(key?.budget?.tokensPerMonth),
    },
  };
}

/**
 * The body of `POST` or `PATCH /admin/keys`. A text that is no number goes as it is: the API says what is wrong with it. `before`:
 * what the form began with; only what differs is sent, so that two operators who change different fields do not undo each other.
 */
export function bodyOf(values: FormValues, before?: FormValues): Record<string, unknown> {
  const all: Record<string, unknown> = {
    models: values.allModels ? ['*'] : values.models,
    ips: values.ips.split(/[\s,]+/).filter((ip) => ip !== ''),
    priority: values.priority,
    weight: numberOr(values.weight),
    debug: values.debug,
    limits: numbersOf(values.limits),
    budget: numbersOf(values.budget),
    expires_at: values.expiresAt === '' ? null : utcTime(values.expiresAt),
  };
  if (before === undefined) {
    const given = Object.entries(all).filter(([, value]) => value !== null);
    return { id: values.id.trim(), ...Object.fromEntries(given) };
  }
  const known = bodyOf(before);
  const changed = Object.entries(all).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(known[name] ?? null),
  );
  return Object.fromEntries(changed);
}

function numbersOf(texts: Record<string, string>): Record<string, unknown> | null {
  const given = Object.entries(texts).filter(([, text]) => text.trim() !== '');
  if (given.length === 0) return null;
  return Object.fromEntries(given.map(([name, text]) => [name, numberOr(text)]));
}

function numberOr(text: string): number | string {
  const value = Number(text.trim().replaceAll('_', ''));
  return text.trim() === '' || Number.isNaN(value) ? text : value;
}

/** RFC 3339 of a local time; a text that is none goes as it is. */
function utcTime(local: string): string {
  const date = new Date(local);
  return Number.isNaN(date.getTime()) ? local : date.toISOString();
}

function localTime(at: string | null): string {
  if (at === null) return '';
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return '';
  const shifted = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}

const fieldNames = [
  'id',
  'models',
  'ips',
  'priority',
  'weight',
  'debug',
  'expires_at',
  'grace',
  ...limitNames.map((name) => `limits.${name}`),
  ...budgetNames.map((name) => `budget.${name}`),
  'limits',
  'budget',
];

/**
 * The messages of an error of the API by the field of the form that they belong to; `''` for what belongs to none. One error has
 * several as `field: message; field: message`.
 */
export function errorsByField(message: string, param: string | undefined): Map<string, string> {
  const found = new Map<string, string>();
  const add = (field: string, text: string) => {
    const before = found.get(field);
    found.set(field, before === undefined ? text : `${before} ${text}`);
  };
  if (param === undefined) return new Map([['', message]]);
  const parts = message.split(new RegExp(`; (?=(?:${startsOfFields})[^\\s:]*: )`));
  for (const part of parts) {
    const [, path = '', text = part] = /^([\w.[\]"]+): (.*)$/s.exec(part) ?? [];
    add(fieldOf(path === '' ? param : path), text);
  }
  return found;
}

const startsOfFields = fieldNames.map((name) => name.replace('.', '\\.')).join('|');

const fieldOf = (path: string): string =>
  fieldNames.find(
    (name) => path === name || path.startsWith(`${name}.`) || path.startsWith(`${name}[`),
  ) ?? '';
