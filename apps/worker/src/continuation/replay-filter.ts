import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { choiceIndex, deltaOf, hasFinish, hasToolCall } from '@millrace/formats/openai-chat/chunk';
import type { SpliceFilter, FilterStep } from './splice-filter.ts';
import { isThought, leavesOf, partSeam } from './parts.ts';
import type { PartSeam } from './parts.ts';
import { createReasoningForm } from './reasoning-form.ts';
import { withoutRepetition } from './repeated-choice.ts';
import { replaySeam } from './splice/replay.ts';
import { dropped, held } from './splice/splice.ts';
import type { Seam } from './splice/splice.ts';
import { channelKey, listsOf, textsOf } from './delivered.ts';
import type { Channel, Delivered } from './delivered.ts';
import { isBare, vendorFilter } from './vendor-fields.ts';

/**
 * Replay: the target must repeat everything that was delivered, character by character and part by part, in
 * every channel of every choice, and every end. Vendor fields (`vendor-fields.ts`) are not compared.
 */
export function replayFilter(delivered: Delivered): SpliceFilter {
  const seams = new Map<string, Seam>();
  for (const [where, text] of delivered.texts) seams.set(where, replaySeam(text));
  const lists = new Map<string, PartSeam>();
  for (const [where, leaves] of delivered.parts) lists.set(where, partSeam(leaves));
  const waiting = new Set([...seams.keys(), ...lists.keys()]);
  const finished = new Set(delivered.finished.keys());
  for (const index of finished) waiting.add(endOf(index));
  const begun = new Set(delivered.begun);
  const ended = new Set<number>();
  const vendor = vendorFilter(delivered.vendor);
  const form = createReasoningForm(delivered);
  /** Chunks of a choice that is past its delivered part while another choice is still behind. */
  let early: JsonObject[] = [];
  let earlyChars = 0;

  const isBehind = (index: number) => [...waiting].some((where) => where.startsWith(`${index}:`));

  /** The new content of a choice. A choice that is still behind must not bring any. */
  function compare(index: number, choice: JsonObject, delta: JsonObject): Fresh | Dropped {
    const wasBehind = isBehind(index);
    const fresh: Fresh = { texts: [], lists: [] };
    /** Content of channels of which nothing was delivered. */
    const unknown: Fresh = { texts: [], lists: [] };
    let goesOn = false;
    for (const [channel, text] of textsOf(delta)) {
      const where = channelKey(index, channel);
      const seam = seams.get(where);
      const step =
        seam && waiting.has(where) ? seam.push(text) : ({ kind: 'passed', text } as const);
      if (step.kind === 'dropped') return step;
      if (step.kind === 'held') continue;
      waiting.delete(where);
      if (step.text === '') continue;
      goesOn ||= seam !== undefined;
      (seam ? fresh : unknown).texts.push([channel, step.text]);
    }
    for (const { name, value, isWhole } of listsOf(choice, form.inDeliveredForm(index, delta))) {
      const where = channelKey(index, name);
      const seam = lists.get(where);
      if (!seam) {
        const says = isWhole || leavesOf(value).length > 0;
        if (says) unknown.lists.push([name, itemsOf(value)]);
        continue;
      }
      const step = isWhole ? seam.pushItems(value) : seam.push(value);
      if (step.kind === 'dropped') return step;
      if (seam.isThrough) waiting.delete(where);
      if (step.fresh.length === 0) continue;
      goesOn = true;
      fresh.lists.push([name, step.fresh]);
    }
    const behind = isBehind(index);
    if (behind && (goesOn || hasToolCall(delta))) return dropped('diverged');
    // If the previous target showed no reasoning, the reasoning of this one is no difference in the answer.
    for (const [channel, text] of unknown.texts) {
      if (channel === 'reasoning' ? wasBehind : behind) {
        if (channel !== 'reasoning') return dropped('diverged');
      } else fresh.texts.push([channel, text]);
    }
    for (const [name, items] of unknown.lists) {
      if (name === 'content[]' && behind && !items.every(isThought)) return dropped('diverged');
      if (name === 'reasoning_details' || name === 'thinking_blocks') {
        if (form.keepsAside(index, name, items, wasBehind)) continue;
        fresh.lists.push([name, items]);
      } else if (!wasBehind) fresh.lists.push([name, items]);
    }
    return fresh;
  }

  /** The role, if readers have nothing of the choice yet. */
  function roleOf(index: number, { role }: JsonObject): { role?: unknown } {
    if (role === undefined || begun.has(index)) return {};
    begun.add(index);
    return { role };
  }

  function newChoice(choice: JsonObject, place: number): JsonObject | undefined | Dropped {
    const index = choiceIndex(choice, place);
    if (ended.has(index)) return undefined;
    const delta = deltaOf(choice) ?? {};
    const fresh = compare(index, choice, delta);
    if ('kind' in fresh) return fresh;
    const finish = hasFinish(choice);
    if (finish && finished.has(index)) waiting.delete(endOf(index));
    if (finish && isBehind(index)) return dropped('too_short');
    // The end of the choice was delivered: nothing may follow it.
    if (finished.has(index)) return undefined;
    if (finish) {
      ended.add(index);
      fresh.lists.push(...form.signedAside(index));
    }
    const isNew = finish || fresh.texts.length > 0 || fresh.lists.length > 0 || hasToolCall(delta);
    const beside = { ...roleOf(index, delta), ...vendor.ofDelta(index, choice, delta, isNew) };
    if (isNew) {
      const names = form.namesOf(index, delta);
      return withoutRepetition({ choice, index, delta, fresh, names, beside });
    }
    const more = isBare(choice, delta) ? vendor.ofBareChoice(index, choice) : {};
    if (Object.keys(beside).length + Object.keys(more).length === 0) return undefined;
    return { ...more, index, delta: beside, finish_reason: null };
  }

  /** The part of a chunk that may be delivered; undefined if there is none. */
  function newChunk(chunk: JsonObject): JsonObject | undefined | Dropped {
    const all = itemsOf(chunk['choices']);
    if (all.length === 0) return vendor.passes(chunk) ? chunk : undefined;
    const choices: JsonObject[] = [];
    for (const [place, choice] of all.entries()) {
      if (!isJsonObject(choice)) continue;
      const fresh = newChoice(choice, place);
      if (isDropped(fresh)) return fresh;
      if (fresh) choices.push(fresh);
    }
    return choices.length > 0 ? { ...chunk, choices } : undefined;
  }

  return {
    take(chunk, size) {
      if (!isJsonObject(chunk)) return waiting.size > 0 ? held : { kind: 'passed', chunks: [] };
      const fresh = newChunk(chunk);
      if (isDropped(fresh)) return fresh;
      if (fresh) {
        early.push(fresh);
        earlyChars += size;
      }
      if (waiting.size > 0) return held;
      const chunks = early;
      early = [];
      earlyChars = 0;
      return { kind: 'passed', chunks };
    },
    end: () => (waiting.size > 0 ? dropped('too_short') : { kind: 'passed', chunks: [] }),
    get heldChars() {
      return earlyChars + form.asideChars;
    },
  };
}

/** The new content of a choice: texts by channel, and lists of parts. */
export type Fresh = {
  texts: [Channel, string][];
  lists: [name: string, items: readonly unknown[]][];
};

type Dropped = Extract<FilterStep, { kind: 'dropped' }>;

const isDropped = (fresh: JsonObject | Dropped | undefined): fresh is Dropped =>
  fresh !== undefined && 'kind' in fresh && fresh['kind'] === 'dropped';

const endOf = (index: number): string => `${index}:end`;
