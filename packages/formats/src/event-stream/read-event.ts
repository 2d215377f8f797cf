import type { JsonObject } from '@millrace/shared/domain/json';
import { parseShallow, isJsonObject } from '@millrace/shared/domain/json';
import { readableMembers } from '@millrace/shared/domain/json-text';
import type { UpstreamEvent } from './parser.ts';

/**
 * Defines which events of a provider's stream may be dropped, and which are faults, for every wire format.
 *
 * An event is dropped only if it cannot have contained a part of the answer: it is a ping, it has no data, or
 * its readable part shows that it has no choices. Any other event that cannot be read may have contained one:
 * the attempt ends, and another attempt continues after the last character that was read. After the
 * finish_reason of every choice nothing can be missing.
 */
export type ReadEvent =
  | { kind: 'json'; value: JsonObject }
  /** `[DONE]`. */
  | { kind: 'done' }
  | { kind: 'nothing' }
  | { kind: 'damaged' };

const nothing: ReadEvent = { kind: 'nothing' };
const damaged: ReadEvent = { kind: 'damaged' };

export function readEvent({ event, data, isDamaged }: UpstreamEvent): ReadEvent {
  if (isDamaged) return damaged;
  const text = data.trim();
  if (text === '') return nothing;
  if (text === '[DONE]') return { kind: 'done' };
  const value = parse(text);
  if (isJsonObject(value)) {
    return isPingName(event) && value['choices'] === undefined ? nothing : { kind: 'json', value };
  }
  if (value === null || isPingName(event) || isPingName(text)) return nothing;
  return value === undefined && saysThatItIsEmpty(text) ? nothing : damaged;
}

/** Names and texts with which providers keep a silent connection alive, in addition to comments. */
const pings = /^\W*(ping|heart-?beat|keep-?alive)\W*$/i;

const isPingName = (name: string | undefined): boolean => name !== undefined && pings.test(name);

/**
 * A text that broke off after a member which excludes a part of the answer: no choices, or a ping. Another
 * event may follow without a separator, so the text must not name choices a second time.
 */
function saysThatItIsEmpty(text: string): boolean {
  const { members, isCut } = readableMembers(text);
  if (!isCut) return false;
  const isPing = isPingName(members.get('type'));
  const hasNoChoices = members.get('choices')?.replaceAll(/\s/g, '') === '[]';
  if (!isPing && !hasNoChoices) return false;
  return text.split('"choices"').length === (hasNoChoices ? 2 : 1) && !text.includes('"delta"');
}

function parse(text: string): unknown {
  try {
    return parseShallow(text);
  } catch {
    return undefined;
  }
}
