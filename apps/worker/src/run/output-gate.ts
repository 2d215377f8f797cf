import { parseShallow } from '@millrace/shared/domain/json';
import type { AttemptStarted } from '@millrace/shared/domain/entry';
import {
  deltaOf,
  finishReasons,
  hasToolCall,
  isObject,
  itemsOf,
} from '@millrace/shared/domain/chunk';
import { tokensIn } from '@millrace/shared/domain/tokens';
import { createCurtain } from '../continuation/splice-filter.ts';
import type { Curtain, CurtainStep } from '../continuation/splice-filter.ts';
import type { Rung } from '../continuation/strategies.ts';
import { isProgress } from '../continuation/progress.ts';
import type { SeamFailure } from '../continuation/splice/splice.ts';
import type { Shown } from '../continuation/delivered.ts';
import { sentIn, toldIn } from './ledger.ts';
import type { Sent, Told } from './ledger.ts';
import type { AnswerSink } from '../provider/port.ts';

/** A chunk on its way to the log. `content`: it adds nothing else. `visible`: a reader sees something. */
export type Spoken = { text: string; visible: boolean; chunk?: unknown; content?: string };

export type VoiceOptions = {
  started: AttemptStarted;
  shown: Shown;
  /** The request offers tools. */
  tools: boolean;
  holdToolCalls: boolean;
  /** Characters of chunks that may wait in it, whatever they wait for. */
  maxHeldChars: number;
  /** Whether the log of the request holds as much as it may. */
  isLogFull(): boolean;
  /** Asks for the floor; false when another attempt has it. */
  claim(): boolean;
  /** What it says from here on, readers are shown. Once, before the first word. */
  begin(): void;
  say(spoken: Spoken): void;
  /** Its text is no continuation of what was shown. */
  fail(outcome: SeamFailure): void;
  /** This attempt is no use. */
  giveUp(reason: GiveUp): void;
};

/** Why an attempt is called off: another one speaks, its text is no continuation, or it holds too much. */
export type GiveUp =
  | 'superseded'
  | 'no_continuation'
  | 'upstream_response_too_large'
  | 'response_too_large';

/**
 * One attempt's way to the readers. What it brings passes, in this order: the curtain, when a part of
 * the answer was shown before; the floor, which one attempt has at a time; the hold on tool calls, which
 * are sent whole; and the hold-back, until there is something to see. Until then it can fail without
 * a trace.
 */
export type Voice = {
  readonly started: AttemptStarted;
  readonly sink: AnswerSink;
  /** The answer is complete: what is still held is said. False when it cannot stand. */
  finish(): boolean;
  /** Why it was called off; undefined where it was not. */
  readonly gaveUp: GiveUp | undefined;
  readonly usage: string | undefined;
  /** What its upstream sent, shown or not. */
  readonly sent: Sent;
  /** Characters of chunks that wait in it. */
  readonly heldChars: number;
  /** What its upstream told of its cost so far. */
  readonly told: Told | undefined;
};

export function createVoice(options: VoiceOptions): Voice {
  const { started, shown, claim, begin, say, fail, giveUp } = options;
  const rung = rungOf(started);
  const curtain: Curtain | undefined = rung && createCurtain(rung, shown, options.tools);
  const hold = createToolHold(options.holdToolCalls);
  /** What may be said as soon as something of it is visible. */
  let before: Spoken[] | undefined = [];
  let beforeChars = 0;
  let hasFloor = false;
  let gaveUp: GiveUp | undefined;
  let usage: string | undefined;
  const sent: Sent = { tokens: 0, reasoning: 0 };
  let told: Told | undefined;

  function stop(reason: GiveUp): void {
    gaveUp = reason;
    giveUp(reason);
  }

  function takeFloor(): boolean {
    if (hasFloor) return true;
    hasFloor = claim();
    if (!hasFloor) stop('superseded');
    return hasFloor;
  }

  function speak(spoken: Spoken): void {
    if (spoken.visible && !takeFloor()) return;
    for (const one of hold.take(spoken)) tell(one);
  }

  function tell(spoken: Spoken): void {
    if (!before) {
      say(spoken);
      return;
    }
    before.push(spoken);
    beforeChars += spoken.text.length;
    if (spoken.visible) sayBefore();
  }

  function sayBefore(): void {
    if (!before) return;
    const held = before;
    before = undefined;
    beforeChars = 0;
    begin();
    for (const one of held) say(one);
  }

  function behindCurtain(step: CurtainStep): void {
    if (step.kind === 'held') return;
    if (step.kind === 'dropped') {
      // Of one that spoke already, the log has the seam that it passed.
      if (before) fail(step.reason);
      stop('no_continuation');
      return;
    }
    // Until it has something new to say, it has only caught up.
    for (const chunk of step.chunks) {
      if (gaveUp) return;
      const text = JSON.stringify(chunk);
      speak({ text, chunk, visible: isProgress(chunk) });
    }
  }

  const heldChars = () => beforeChars + hold.chars + (curtain?.heldChars ?? 0);

  /** A provider that never comes to an end must fill neither the memory of the worker nor Redis. */
  function bound(): void {
    if (gaveUp) return;
    if (heldChars() > options.maxHeldChars) stop('upstream_response_too_large');
    else if (options.isLogFull()) stop('response_too_large');
  }

  return {
    started,
    sink: {
      plain(text, content) {
        sent.tokens += tokensIn(content);
        if (gaveUp) return;
        if (curtain) behindCurtain(curtain.take(parseShallow(text), text.length));
        else speak({ text, content, visible: true });
        bound();
      },
      chunk(text, chunk, visible) {
        const { tokens, reasoning } = sentIn(chunk);
        sent.tokens += tokens;
        sent.reasoning += reasoning;
        if (gaveUp) return;
        if (curtain) behindCurtain(curtain.take(chunk, text.length));
        else speak({ text, chunk, visible });
        bound();
      },
      usage(text) {
        usage = text;
        told = toldIn(parseShallow(text), sent.tokens) ?? told;
      },
    },
    finish() {
      if (gaveUp) return false;
      if (curtain) behindCurtain(curtain.end());
      if (gaveUp || !takeFloor()) return false;
      sayBefore();
      for (const one of hold.release()) say(one);
      return true;
    },
    get gaveUp() {
      return gaveUp;
    },
    get usage() {
      return usage;
    },
    sent,
    get heldChars() {
      return heldChars();
    },
    get told() {
      return told;
    },
  };
}

/** The rung of an attempt that goes on with what was shown; undefined for one that starts anew. */
export function rungOf({ mode }: AttemptStarted): Rung | undefined {
  return mode === 'start' || mode === 'restart' ? undefined : mode;
}

/** Tool calls are sent together, when their choice has its finish_reason: a half one is no use to anyone. */
function createToolHold(holds: boolean) {
  let held: Spoken[] = [];
  let chars = 0;
  const open = new Set<number>();
  return {
    /** What may be said now, in order. */
    take(spoken: Spoken): readonly Spoken[] {
      if (!holds || spoken.chunk === undefined) return pass(spoken);
      const { chunk } = spoken;
      for (const [place, choice] of choicesOf(chunk).entries()) {
        const delta = deltaOf(choice);
        if (delta && hasToolCall(delta)) open.add(indexOf(choice, place));
      }
      for (const { index } of finishReasons(chunk)) open.delete(index);
      return pass(spoken);
    },
    release,
    get chars() {
      return chars;
    },
  };

  function pass(spoken: Spoken): readonly Spoken[] {
    if (open.size === 0 && held.length === 0) return [spoken];
    held.push(spoken);
    chars += spoken.text.length;
    return open.size > 0 ? [] : release();
  }

  function release(): readonly Spoken[] {
    const free = held;
    held = [];
    chars = 0;
    return free;
  }
}

const choicesOf = (chunk: unknown): readonly unknown[] =>
  isObject(chunk) ? itemsOf(chunk['choices']) : [];

const indexOf = (choice: unknown, place: number): number => {
  const index = isObject(choice) ? choice['index'] : undefined;
  return typeof index === 'number' ? index : place;
};
