import { bytes, duration } from '../../ui/format.ts';

/* The config and its differences as the page shows them. Pure. */

/** `GET /admin/config`. Times are seconds since the epoch. */
export type ConfigState = {
  /** All processes use the same config, and none refuses its file. */
  agreed: boolean;
  processes: ProcessState[];
  config: Record<string, unknown>;
};

export type ProcessState = {
  name: string;
  role: string;
  hash: string;
  since: number;
  needs_restart: string[];
  problems: string[];
  refused_at: number | null;
  reported_at: number;
};

/** `POST /admin/config/check`. */
export type Checked = {
  problems: Finding[];
  warnings?: Finding[];
  diff: Difference[];
  truncated?: boolean;
};

export type Finding = { line: number | null; field: string; message: string };

export type Difference = { path: string; from: unknown; to: unknown; needs_restart: boolean };

/** The hash that most processes use; the others are those that differ. Undefined without processes. */
export function usualHash(processes: readonly Pick<ProcessState, 'hash'>[]): string | undefined {
  const counts = new Map<string, number>();
  for (const { hash } of processes) counts.set(hash, (counts.get(hash) ?? 0) + 1);
  return [...counts].toSorted(([, one], [, other]) => other - one)[0]?.[0];
}

/** A value that has no fields: what stands behind its name. */
export function textOf(value: unknown): string {
  if (value === null || value === undefined) return 'none';
  if (typeof value === 'string') return value === '' ? "''" : value;
  if (Array.isArray(value)) {
    return value.length === 0 ? '[]' : `[${value.map((item) => textOf(item)).join(', ')}]`;
  }
  return JSON.stringify(value);
}

/** The value in the units that people read: `60000` of `timeoutMs` is `1.0 min`. */
export function readingOf(name: string, value: unknown): string | undefined {
  if (typeof value !== 'number') return undefined;
  if (name.endsWith('Ms')) return duration(value);
  return /bytes$/i.test(name) ? bytes(value) : undefined;
}

/** A side of a difference, in the units that people read. */
export function sideOf({ path }: Difference, value: unknown): string {
  const name = path.slice(path.lastIndexOf('.') + 1);
  const reading = readingOf(name, value);
  return reading === undefined ? textOf(value) : `${textOf(value)} (${reading})`;
}

/** The fields of a value; undefined for one that is shown in its line. */
export function fieldsOf(value: unknown): [name: string, value: unknown][] | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (!Array.isArray(value)) {
    const fields = Object.entries(value);
    return fields.length === 0 ? undefined : fields;
  }
  const items = value as unknown[];
  if (items.every((item) => typeof item !== 'object' || item === null)) return undefined;
  return items.map((item, index) => [itemName(item, index), item]);
}

function itemName(item: unknown, index: number): string {
  const { id, provider, model } = (item ?? {}) as Record<string, unknown>;
  if (typeof id === 'string') return id;
  return typeof provider === 'string' ? `${provider}/${textOf(model)}` : String(index);
}

/** Whether a field or one below it has the text in its path or in its value. */
export function contains(name: string, value: unknown, wanted: string): boolean {
  if (wanted === '' || name.toLowerCase().includes(wanted)) return true;
  const fields = fieldsOf(value);
  if (!fields) return textOf(value).toLowerCase().includes(wanted);
  return fields.some(([inner, of]) => contains(inner, of, wanted));
}

/** Where a line begins and ends in a text, to mark it; the last line for one beyond it. */
export function rangeOfLine(text: string, line: number): [from: number, to: number] {
  const lines = text.split('\n');
  const index = Math.max(0, Math.min(line - 1, lines.length - 1));
  const from = lines.slice(0, index).reduce((sum, { length }) => sum + length + 1, 0);
  return [from, from + (lines[index]?.length ?? 0)];
}
