import {
  choiceIndex,
  deltaOf,
  hasToolCall,
  isObject,
  itemsOf,
  reasoningPartFields,
  reasoningTextFields,
} from '@millrace/shared/domain/chunk';
import type { JsonObject } from '@millrace/shared/domain/chunk';
import { usageOverSeam } from './continue-body.ts';
import { chooseAnchor } from './seam/anchor.ts';
import { anchorSeam } from './seam/anchored.ts';
import { prefillSeam } from './seam/prefill.ts';
import { replaySeam } from './seam/replay.ts';
import { dropped, held } from './seam/seam.ts';
import type { Seam, SeamFailure, SeamStep } from './seam/seam.ts';
import type { Rung } from './ladder.ts';
import { key, plainText, textsOf } from './shown.ts';
import type { Channel, Shown } from './shown.ts';

/**
 * Stands between a new attempt and readers who were shown a part of the answer already. It takes the
 * attempt's chunks, holds them back until its text has passed the seam, and gives on what is new, as
 * chunks that fit behind those that were shown: no second role, no finish_reason twice.
 */
export type Curtain = {
  take(chunk: unknown): CurtainStep;
  /** The attempt's answer is complete. */
  end(): CurtainStep;
};

export type CurtainStep =
  | { kind: 'held' }
  /** Behind the seam. The chunks may be none. */
  | { kind: 'shown'; chunks: JsonObject[] }
  | { kind: 'dropped'; reason: SeamFailure };

export function createCurtain(rung: Rung, shown: Shown): Curtain {
  return rung === 'replay' ? replayCurtain(shown) : textCurtain(rung, shown);
}

/** Rungs 2 and 4: one text goes on. The new attempt's own reasoning is nobody's business any more. */
function textCurtain(rung: 'continue' | 'anchor', shown: Shown): Curtain {
  const text = plainText(shown) ?? '';
  const seam =
    rung === 'continue' ? prefillSeam(text) : anchorSeam(text, chooseAnchor(text) ?? text);
  let isOpen = false;
  let template: JsonObject = {};

  /** A chunk with the text, and one with the end, each where there is one; what is used is told once. */
  function give(chunk: JsonObject, piece: string, finish: JsonObject | undefined): JsonObject[] {
    const { usage, ...rest } = chunk;
    const chunks: JsonObject[] = [];
    if (piece !== '') {
      const delta = { content: piece };
      chunks.push({ ...rest, choices: [{ index: 0, delta, finish_reason: null }] });
    }
    if (finish) chunks.push({ ...rest, choices: [{ ...finish, index: 0, delta: {} }] });
    const last = chunks.pop();
    if (!last) return [];
    const told = isObject(usage) ? { usage: usageOverSeam(usage, rung, text) } : {};
    return [...chunks, { ...last, ...told }];
  }

  function pass(step: SeamStep, finish: JsonObject | undefined): CurtainStep {
    if (step.kind !== 'passed') return step;
    isOpen = true;
    return { kind: 'shown', chunks: give(template, step.text, finish) };
  }

  return {
    take(chunk) {
      const choice = firstChoice(chunk);
      if (!choice || !isObject(chunk)) return isOpen ? { kind: 'shown', chunks: [] } : held;
      template = chunk;
      const piece = contentOf(choice);
      const finish = hasFinish(choice) ? choice : undefined;
      if (isOpen) return { kind: 'shown', chunks: give(chunk, piece, finish) };
      const step = piece === '' ? held : seam.push(piece);
      if (step.kind !== 'held' || !finish) return pass(step, finish);
      return pass(seam.end(), finish);
    },
    end: () => (isOpen ? { kind: 'shown', chunks: [] } : pass(seam.end(), undefined)),
  };
}

/** Rung 3: everything that was shown must come again, letter by letter, in every voice of every choice, and every end. */
function replayCurtain(shown: Shown): Curtain {
  const seams = new Map<string, Seam>();
  for (const [where, text] of shown.texts) seams.set(where, replaySeam(text));
  const waiting = new Set(seams.keys());
  for (const index of shown.finished.keys()) waiting.add(endOf(index));
  const begun = new Set(shown.begun);
  /** What came beyond the shown part of one choice while another was still behind. */
  let early: JsonObject[] = [];

  const isBehind = (index: number) => [...waiting].some((where) => where.startsWith(`${index}:`));

  /** The new part of one channel's text; a failure when it does not fit. */
  function newText(index: number, channel: Channel, text: string): string | Dropped {
    const where = key(index, channel);
    const seam = seams.get(where);
    if (seam && waiting.has(where)) {
      const step = seam.push(text);
      if (step.kind === 'dropped') return step;
      if (step.kind === 'held') return '';
      waiting.delete(where);
      if (step.text !== '' && isBehind(index)) return dropped('diverged');
      return step.text;
    }
    if (!isBehind(index)) return text;
    // Reasoning of a target whose predecessor showed none is no difference in the answer.
    return channel === 'reasoning' && !seam ? '' : dropped('diverged');
  }

  /** The role, of a choice that readers know nothing of yet. */
  function roleOf(index: number, { role }: JsonObject): { role?: unknown } {
    if (role === undefined || begun.has(index)) return {};
    begun.add(index);
    return { role };
  }

  /** The end of a choice: true when it is new, false when it was shown before. */
  function newEnd(index: number): boolean | Dropped {
    if (shown.finished.has(index)) waiting.delete(endOf(index));
    if (isBehind(index)) return dropped('too_short');
    return !shown.finished.has(index);
  }

  function newChoice(choice: JsonObject, place: number): JsonObject | undefined | Dropped {
    const index = choiceIndex(choice, place);
    const delta = deltaOf(choice) ?? {};
    const texts: Record<string, string> = {};
    for (const [channel, text] of textsOf(delta)) {
      const fresh = newText(index, channel, text);
      if (typeof fresh !== 'string') return fresh;
      if (fresh !== '') texts[fieldOf(delta, channel)] = fresh;
    }
    if (hasToolCall(delta) && isBehind(index)) return dropped('diverged');
    const finish = hasFinish(choice) && newEnd(index);
    if (typeof finish !== 'boolean') return finish;
    // Its end was shown: whatever it may still say is nobody's business.
    if (shown.finished.has(index)) return undefined;
    const rest = { ...roleOf(index, delta), ...withoutTexts(delta), ...texts };
    if (Object.keys(rest).length === 0 && !finish) return undefined;
    return {
      ...choice,
      index,
      delta: rest,
      finish_reason: finish ? choice['finish_reason'] : null,
    };
  }

  return {
    take(chunk) {
      if (!isObject(chunk)) return waiting.size > 0 ? held : { kind: 'shown', chunks: [] };
      const choices: JsonObject[] = [];
      for (const [place, choice] of itemsOf(chunk['choices']).entries()) {
        if (!isObject(choice)) continue;
        const fresh = newChoice(choice, place);
        if (isDropped(fresh)) return fresh;
        if (fresh) choices.push(fresh);
      }
      if (choices.length > 0) early.push(withChoices(chunk, choices));
      if (waiting.size > 0) return held;
      const chunks = early;
      early = [];
      return { kind: 'shown', chunks };
    },
    end: () => (waiting.size > 0 ? dropped('too_short') : { kind: 'shown', chunks: [] }),
  };
}

type Dropped = Extract<CurtainStep, { kind: 'dropped' }>;

const isDropped = (fresh: JsonObject | Dropped | undefined): fresh is Dropped =>
  fresh !== undefined && 'kind' in fresh && fresh['kind'] === 'dropped';

const endOf = (index: number): string => `${index}:end`;

const withChoices = (chunk: JsonObject, choices: JsonObject[]): JsonObject => ({
  ...chunk,
  choices,
});

const firstChoice = (chunk: unknown): JsonObject | undefined => {
  const choices = isObject(chunk) ? itemsOf(chunk['choices']) : [];
  const choice = choices[0];
  return isObject(choice) ? choice : undefined;
};

const contentOf = (choice: JsonObject): string => {
  const content = deltaOf(choice)?.['content'];
  return typeof content === 'string' ? content : '';
};

const hasFinish = (choice: JsonObject): boolean =>
  typeof choice['finish_reason'] === 'string' && choice['finish_reason'] !== '';

/** The name under which a delta has the channel's text. */
function fieldOf(delta: JsonObject, channel: Channel): string {
  if (channel !== 'reasoning') return channel;
  return reasoningTextFields.find((name) => typeof delta[name] === 'string') ?? 'reasoning_content';
}

const textFields = new Set<string>([
  'role',
  'content',
  'refusal',
  ...reasoningTextFields,
  ...reasoningPartFields,
]);

/** What else a delta says: tool calls, vendors' own fields. Nothing that is empty. */
function withoutTexts(delta: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(delta).filter(([name, value]) => !textFields.has(name) && value !== null),
  );
}
