import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { dropped } from './splice/splice.ts';
import type { SeamStep } from './splice/splice.ts';

/*
 * Fields whose value is a list of typed parts (Mistral's content, OpenRouter's reasoning_details,
 * thinking_blocks), and lists of log probabilities: what they say, so that a second run of the same
 * answer can be compared with the first, however either of them cuts its parts into chunks.
 */

/** One thing that a part says: a text, which may go on in the next part, or a value that is whole by itself. */
export type Leaf = {
  /** The part's type and index, and where in it the value stands. */
  readonly label: string;
  readonly kind: 'text' | 'value' | 'signature';
  /** The text so far, or the value as JSON. */
  value: string;
  /** Of a text in the part itself: the part without what it says, and the name of the text's field. */
  readonly frame?: { labels: JsonObject; field: string };
};

/** What a part says in words, as OpenAI, OpenRouter, Mistral and Anthropic name it. */
const textFields: ReadonlySet<string> = new Set(['text', 'summary', 'thinking']);

/** What a part is, and nothing that it says. */
const labelFields: ReadonlySet<string> = new Set(['type', 'index', 'format', 'id', 'role']);

/** Deeper than any provider nests its parts; what lies below is compared as one value. */
const maxDepth = 2;

/** Takes a leaf, and gives what of its value goes into the part that is made; undefined for nothing. */
type Take = (leaf: Leaf) => string | undefined;

/** The part with what `take` leaves of it; undefined where that is nothing. */
function sift(part: unknown, take: Take, path = '', depth = 0): unknown {
  if (!isJsonObject(part)) {
    if (part === null || part === '') return undefined;
    const leaf: Leaf = { label: `${path}/`, kind: 'value', value: jsonOf(part) };
    return take(leaf) === undefined ? undefined : part;
  }
  const place = `${path}/${jsonOf([part['type'], part['index']])}`;
  const labels: Record<string, unknown> = {};
  for (const field of labelFields) {
    if (Object.hasOwn(part, field)) labels[field] = part[field];
  }
  const kept: Record<string, unknown> = {};
  let says = false;
  for (const field in part) {
    const value = part[field];
    if (field === '__proto__') continue;
    if (labelFields.has(field) || isBlank(value)) {
      kept[field] = value;
      continue;
    }
    const label = `${place}.${field}`;
    const rest =
      Array.isArray(value) && textFields.has(field) && depth < maxDepth
        ? siftAll(value, take, label, depth + 1)
        : siftLeaf({ label, field, value, labels }, take, depth);
    if (rest === undefined) continue;
    kept[field] = rest;
    says = true;
  }
  return says ? kept : undefined;
}

type Field = { label: string; field: string; value: unknown; labels: JsonObject };

function siftLeaf({ label, field, value, labels }: Field, take: Take, depth: number): unknown {
  if (textFields.has(field) && typeof value === 'string') {
    return take({
      label,
      kind: 'text',
      value,
      ...(depth === 0 && { frame: { labels, field } }),
    });
  }
  const kind = field === 'signature' ? 'signature' : 'value';
  return take({ label, kind, value: jsonOf(value) }) === undefined ? undefined : value;
}

function siftAll(parts: readonly unknown[], take: Take, path = '', depth = 0): unknown {
  const rest = parts
    .map((part) => sift(part, take, path, depth))
    .filter((part) => part !== undefined);
  return rest.length === 0 ? undefined : rest;
}

/** Null, an empty text, list or object, and a list or an object of such. */
export function isBlank(value: unknown, depth = 0): boolean {
  if (value === null || value === undefined || value === '') return true;
  if (typeof value !== 'object' || depth > maxDepth) return false;
  for (const field in value) {
    if (!isBlank((value as JsonObject)[field], depth + 1)) return false;
  }
  return true;
}

/** A part of a content that is no word of the answer. */
export const isThought = (part: unknown): boolean =>
  isJsonObject(part) && (part['type'] === 'thinking' || part['type'] === 'reference');

/** The words of a content in parts; undefined where a part is neither words nor a thought. */
export function textIn(parts: readonly unknown[]): string | undefined {
  let words = '';
  for (const part of parts) {
    const text = isJsonObject(part) ? part['text'] : part;
    if (typeof text === 'string') words += text;
    else if (!isThought(part) && !isBlank(part)) return undefined;
  }
  return words;
}

/** A value as JSON; of one that is nested too deeply to be written, that it is. */
export function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return 'too deep';
  }
}

/** What a list of parts says, leaf by leaf: nothing of one that has only labels. */
export function leavesOf(parts: unknown): Leaf[] {
  const leaves: Leaf[] = [];
  siftAll(itemsOf(parts), (leaf) => {
    leaves.push(leaf);
    return undefined;
  });
  return leaves;
}

/** As `leavesOf`, of a list whose items are whole by themselves, as those of log probabilities are. */
export const itemLeaves = (items: unknown): Leaf[] =>
  itemsOf(items).map((item) => ({ label: 'item', kind: 'value', value: jsonOf(item) }));

/** Adds leaves; those of one text become one. Returns the characters that were added. */
export function addLeaves(known: Leaf[], leaves: readonly Leaf[]): number {
  let chars = 0;
  for (const leaf of leaves) {
    const last = known.at(-1);
    chars += leaf.value.length;
    if (last?.kind === 'text' && leaf.kind === 'text' && last.label === leaf.label) {
      last.value += leaf.value;
    } else known.push({ ...leaf });
  }
  return chars;
}

/** Takes parts of another run of the same answer, and gives those that were not shown yet. */
export type PartSeam = {
  /** `fresh`: with what is new of them, none where that is nothing. */
  push(parts: unknown): PartStep;
  pushItems(items: unknown): PartStep;
  /** All that was shown has come again. */
  readonly isThrough: boolean;
};

export type PartStep =
  | { kind: 'passed'; fresh: readonly unknown[] }
  | Extract<SeamStep, { kind: 'dropped' }>;

/**
 * Compares leaf by leaf and text letter by letter. A signature stands for the text before it, which
 * was compared: another run signs the same text otherwise, and the one that was shown stays.
 */
export function partSeam(leaves: readonly Leaf[]): PartSeam {
  // What was shown grows with what is let through: the seam is behind what it was before.
  const delivered = leaves.map((leaf) => ({ ...leaf }));
  let at = 0;
  /** Characters of the leaf at that place that have come again. */
  let offset = 0;
  let hasFailed = false;

  function take({ label, kind, value }: Leaf): string | undefined {
    const before = delivered[at];
    const isOver = before && offset === before.value.length;
    if (isOver && (kind !== 'text' || before.label !== label)) {
      at += 1;
      offset = 0;
    }
    const leaf = delivered[at];
    if (!leaf) return value;
    if (leaf.label !== label) return fail();
    if (kind !== 'text') {
      if (kind === 'value' && value !== leaf.value) return fail();
      offset = leaf.value.length;
      return undefined;
    }
    const repeated = leaf.value.slice(offset, offset + value.length);
    if (!value.startsWith(repeated)) return fail();
    offset += repeated.length;
    if (repeated.length === value.length) return undefined;
    return at === delivered.length - 1 ? value.slice(repeated.length) : fail();
  }

  function fail(): undefined {
    hasFailed = true;
    return undefined;
  }

  const stepOf = (rest: unknown): PartStep =>
    hasFailed ? dropped('diverged') : { kind: 'passed', fresh: itemsOf(rest) };

  return {
    push: (parts) => stepOf(siftAll(itemsOf(parts), take)),
    pushItems: (items) =>
      stepOf(
        itemsOf(items).filter(
          (item) => take({ label: 'item', kind: 'value', value: jsonOf(item) }) !== undefined,
        ),
      ),
    get isThrough() {
      const last = delivered.length - 1;
      return at > last || (at === last && offset === delivered[last]?.value.length);
    },
  };
}
