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
import type { Curtain, CurtainStep } from './curtain.ts';
import { replaySeam } from './seam/replay.ts';
import { dropped, held } from './seam/seam.ts';
import type { Seam } from './seam/seam.ts';
import { hasFinish, key, textsOf } from './shown.ts';
import type { Channel, Shown } from './shown.ts';

/** Rung 3: everything that was shown must come again, letter by letter, in every voice of every choice, and every end. */
export function replayCurtain(shown: Shown): Curtain {
  const seams = new Map<string, Seam>();
  for (const [where, text] of shown.texts) seams.set(where, replaySeam(text));
  const waiting = new Set(seams.keys());
  for (const index of shown.finished.keys()) waiting.add(endOf(index));
  const begun = new Set(shown.begun);
  /** What came beyond the shown part of one choice while another was still behind. */
  let early: JsonObject[] = [];
  let earlyChars = 0;

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
    take(chunk, size) {
      if (!isObject(chunk)) return waiting.size > 0 ? held : { kind: 'shown', chunks: [] };
      const choices: JsonObject[] = [];
      for (const [place, choice] of itemsOf(chunk['choices']).entries()) {
        if (!isObject(choice)) continue;
        const fresh = newChoice(choice, place);
        if (isDropped(fresh)) return fresh;
        if (fresh) choices.push(fresh);
      }
      if (choices.length > 0) {
        early.push(withChoices(chunk, choices));
        earlyChars += size;
      }
      if (waiting.size > 0) return held;
      const chunks = early;
      early = [];
      earlyChars = 0;
      return { kind: 'shown', chunks };
    },
    end: () => (waiting.size > 0 ? dropped('too_short') : { kind: 'shown', chunks: [] }),
    get heldChars() {
      return earlyChars;
    },
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
