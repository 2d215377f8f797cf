import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { dropped } from './splice/splice.ts';
import type { SeamStep } from './splice/splice.ts';

/*
 * Reads fields whose value is a list of typed parts (Mistral's content, OpenRouter's reasoning_details,
 * thinking_blocks) and lists of log probabilities. It turns them into leaves, so that two runs of the same
 * answer can be compared however each of them cuts its parts into chunks.
 */

/** One value of a part: a text, which may continue in the next part, or a value that is complete. */
export type Leaf = {
  /** The part's type and index, and the path of the value in it. */
  readonly label: string;
  readonly kind: 'text' | 'value' | 'signature';
  /** The text so far, or the value as JSON. */
  value: string;
  /** For a text at the top level of its part: the part's other fields, and the name of the text's field. */
  readonly frame?: { labels: JsonObject; field: string };
};

/** Fields with text, as OpenAI, OpenRouter, Mistral and Anthropic name them. */
const textFields: ReadonlySet<string> = new Set(['text', 'summary', 'thinking']);

/** Fields that identify a part and are not content. */
const labelFields: ReadonlySet<string> = new Set(['type', 'index', 'format', 'id', 'role']);

/** No provider nests its parts deeper; what lies deeper is compared as one value. */
const maxDepth = 2;

/** Returns the part of a leaf's value that is kept; undefined for none. */
type Take = (leaf: Leaf) => string | undefined;

/** The part reduced to what `take` keeps; undefined if that is nothing. */
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

/** Whether a part of a message's content is not text of the answer. */
export const isThought = (part: unknown): boolean =>
  isJsonObject(part) && (part['type'] === 'thinking' || part['type'] === 'reference');

/** The text of a content that is given in parts; undefined if a part is neither text nor a thought. */
export function textIn(parts: readonly unknown[]): string | undefined {
  let words = '';
  for (const part of parts) {
    const text = isJsonObject(part) ? part['text'] : part;
    if (typeof text === 'string') words += text;
    else if (!isThought(part) && !isBlank(part)) return undefined;
  }
  return words;
}

/** A value as JSON; a fixed placeholder if it is nested too deeply to be serialized. */
export function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return 'too deep';
  }
}

/** The leaves of a list of parts. Parts that have only labels have none. */
export function leavesOf(parts: unknown): Leaf[] {
  const leaves: Leaf[] = [];
  siftAll(itemsOf(parts), (leaf) => {
    leaves.push(leaf);
    return undefined;
  });
  return leaves;
}

/** As `leavesOf`, for a list whose items are complete values, such as log probabilities. */
export const itemLeaves = (items: unknown): Leaf[] =>
  itemsOf(items).map((item) => ({ label: 'item', kind: 'value', value: jsonOf(item) }));

/** Adds leaves and joins consecutive ones of the same text. Returns the characters that were added. */
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

/** Compares the parts of another run of the same answer with those delivered, and returns the new ones. */
export type PartSeam = {
  /** `fresh` has the new content, if there is any. */
  push(parts: unknown): PartStep;
  pushItems(items: unknown): PartStep;
  /** Everything that was delivered has been repeated. */
  readonly isThrough: boolean;
};

export type PartStep =
  | { kind: 'passed'; fresh: readonly unknown[] }
  | Extract<SeamStep, { kind: 'dropped' }>;

/**
 * Compares leaf by leaf and text character by character. A signature belongs to the text before it, which was
 * compared: another run signs the same text differently, so the delivered signature stays.
 */
export function partSeam(leaves: readonly Leaf[]): PartSeam {
  // A copy: the list of delivered leaves grows with what this seam passes, and the seam is at the end of what
  // was delivered before.
  const delivered = leaves.map((leaf) => ({ ...leaf }));
  let at = 0;
  /** Characters of the leaf at `at` that have been repeated. */
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
