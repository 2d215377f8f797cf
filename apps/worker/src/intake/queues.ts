import type { LineWatch, Plight } from '../upstream/selection/port.ts';
import { afterWait, newAllowance } from './allowance.ts';
import type { Allowance } from './allowance.ts';

export type LinesOptions = {
  /** Whether the targets of a model can be asked, as far as this worker knows. */
  plightOf(model: string): Plight;
  /** Milliseconds that a request of the model may wait in all. */
  maxWaitMsOf(model: string): number;
  /** From now on no jobs of these models are to be taken. Called before anything goes back to the queue. */
  onAvoid(models: ReadonlySet<string>): void;
  now(): number;
};

export type Lines = LineWatch & {
  /** What time alone changes; called by a timer. */
  tick(): void;
  /** Models of which no jobs are taken. */
  readonly avoided: ReadonlySet<string>;
  /** Requests that wait, of all models. */
  readonly seats: number;
  /** Nothing that time alone would change. */
  readonly quiet: boolean;
  /** For /admin/upstreams. */
  snapshot(): Record<string, { allowance: number; waiting: number; avoided: boolean }>;
};

type Line = {
  allowance: Allowance;
  /** Those that wait, and those that were woken and may come back. */
  seats: number;
  /** It is for want of room that they wait. Kept until none waits: while one asks, its target looks open. */
  isLimited: boolean;
  restUntil: number;
  touchedAt: number;
};

/**
 * Milliseconds for which no jobs of a model are taken after one went back from a line that was not full:
 * else it would be taken again at once, by the same worker.
 */
const restMs = 1000;
/** Milliseconds that the allowance of a line in which nobody waits is remembered: limits come back. */
const keptMs = 30_000;

/** What this worker allows for the lines of its models, and of which it takes no more. */
export function createLines({ plightOf, maxWaitMsOf, onAvoid, now }: LinesOptions): Lines {
  const lines = new Map<string, Line>();
  let avoided: ReadonlySet<string> = new Set();
  let seats = 0;

  function lineOf(model: string): Line {
    const line = lines.get(model) ?? {
      allowance: newAllowance,
      seats: 0,
      isLimited: false,
      restUntil: 0,
      touchedAt: 0,
    };
    lines.set(model, line);
    line.touchedAt = now();
    return line;
  }

  function look(model: string, line: Line): void {
    const plight = plightOf(model);
    if (plight !== 'open') line.isLimited = plight === 'limited';
  }

  const isFull = (line: Line): boolean => line.isLimited && line.seats >= line.allowance.size;

  function settle(model: string, line: Line): void {
    const shallAvoid = isFull(line) || line.restUntil > now();
    if (shallAvoid === avoided.has(model)) return;
    const changed = new Set(avoided);
    if (shallAvoid) changed.add(model);
    else changed.delete(model);
    avoided = changed;
    onAvoid(avoided);
  }

  return {
    sat(model) {
      const line = lineOf(model);
      line.seats += 1;
      seats += 1;
      look(model, line);
      settle(model, line);
    },
    left(model, satAt, how) {
      const line = lineOf(model);
      if (line.isLimited && how !== 'gone') {
        line.allowance = afterWait(line.allowance, {
          satAt,
          at: now(),
          through: how === 'through',
          wasFull: isFull(line),
          maxWaitMs: maxWaitMsOf(model),
        });
      }
      line.seats -= 1;
      seats -= 1;
      if (line.seats === 0) line.isLimited = false;
      settle(model, line);
    },
    // What is told to go back must not be taken again at once: it is the avoided ones that are told so.
    isFull: (model) => avoided.has(model),
    isLimited(model) {
      const plight = plightOf(model);
      return plight === 'open' ? (lines.get(model)?.isLimited ?? false) : plight === 'limited';
    },
    rest(model) {
      const line = lineOf(model);
      line.restUntil = now() + restMs;
      settle(model, line);
    },
    tick() {
      for (const [model, line] of lines) {
        if (line.seats > 0) look(model, line);
        settle(model, line);
        const isOver = line.seats === 0 && line.touchedAt + keptMs <= now();
        if (isOver && !avoided.has(model)) lines.delete(model);
      }
    },
    get avoided() {
      return avoided;
    },
    get seats() {
      return seats;
    },
    get quiet() {
      return lines.size === 0;
    },
    snapshot: () =>
      Object.fromEntries(
        [...lines].map(([model, { allowance, seats: waiting }]) => [
          model,
          { allowance: allowance.size, waiting, avoided: avoided.has(model) },
        ]),
      ),
  };
}
