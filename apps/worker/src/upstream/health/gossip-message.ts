import { asDistances, readStateRecord } from './state-record.ts';
import type { StateRecord } from './state-record.ts';

/** One worker's counters for one target since its start, and the current state. */
export type TargetCounters = {
  inFlight: number;
  ok: number;
  failed: number;
  /** Current number of consecutive failed calls. */
  row: number;
  /** First tokens: their sum in milliseconds, and their number. */
  tokenMs: number;
  tokens: number;
  /** Active checks. */
  checksOk: number;
  checksFailed: number;
  /** The provider asked for no requests before this time; milliseconds since the epoch, 0 for none. */
  retryAt: number;
};

export const newTargetCounters = (): TargetCounters => ({
  inFlight: 0,
  ok: 0,
  failed: 0,
  row: 0,
  tokenMs: 0,
  tokens: 0,
  checksOk: 0,
  checksFailed: 0,
  retryAt: 0,
});

/**
 * One worker's counters and states for the others. It has totals instead of differences, so that the next
 * message makes up for a lost one.
 */
export type GossipMessage = {
  worker: string;
  /** The message has every target of the worker, not only the changed ones. */
  whole: boolean;
  tallies: Iterable<readonly [string, TargetCounters]>;
  states: Iterable<readonly [string, StateRecord]>;
};

/** The prefix of every message. Workers of other versions rely on it. */
const mark = 'pulse ';

export function encodeGossip(message: GossipMessage, now: number): string {
  const tallies = [...message.tallies].map(([key, t]) => [key, toNumbers(t, now)]);
  const states = [...message.states].map(([key, record]) => [key, asDistances(record, now)]);
  return `${mark}${JSON.stringify({
    worker: message.worker,
    ...(message.whole ? { whole: true } : {}),
    tallies: Object.fromEntries(tallies) as unknown,
    states: Object.fromEntries(states) as unknown,
  })}`;
}

/** Checks the sender without parsing the text: a worker receives its own messages, too. */
export const isGossipOf = (text: string, worker: string): boolean =>
  text.startsWith(`${mark}{"worker":${JSON.stringify(worker)},`);

/** Undefined if the text is no gossip message, or one of a version that this worker cannot read. */
export function parseGossip(text: string, now: number): GossipMessage | undefined {
  if (!text.startsWith(mark)) return undefined;
  let said: unknown;
  try {
    said = JSON.parse(text.slice(mark.length));
  } catch {
    return undefined;
  }
  if (typeof said !== 'object' || said === null) return undefined;
  const { worker, whole, tallies, states } = said as Record<string, unknown>;
  if (typeof worker !== 'string') return undefined;
  return {
    worker,
    whole: whole === true,
    tallies: entriesOf(tallies, (value) => fromNumbers(value, now)),
    states: entriesOf(states, (value) => readStateRecord(value, now, now)),
  };
}

/** In the order of the fields. Times are sent as distances from now, because clocks of machines differ. */
const toNumbers = (t: TargetCounters, now: number): number[] => [
  t.inFlight,
  t.ok,
  t.failed,
  t.row,
  Math.round(t.tokenMs),
  t.tokens,
  t.checksOk,
  t.checksFailed,
  Math.max(0, Math.round(t.retryAt - now)),
];

function fromNumbers(said: unknown, now: number): TargetCounters | undefined {
  if (!Array.isArray(said)) return undefined;
  const numbers: unknown[] = said;
  if (!numbers.every((one): one is number => Number.isFinite(one) && Number(one) >= 0)) {
    return undefined;
  }
  const [inFlight, ok, failed, row, tokenMs, tokens, checksOk, checksFailed, waitMs] = numbers;
  if (
    inFlight === undefined ||
    ok === undefined ||
    failed === undefined ||
    row === undefined ||
    tokenMs === undefined ||
    tokens === undefined ||
    checksOk === undefined ||
    checksFailed === undefined ||
    waitMs === undefined
  ) {
    return undefined;
  }
  const retryAt = waitMs > 0 ? now + waitMs : 0;
  return { inFlight, ok, failed, row, tokenMs, tokens, checksOk, checksFailed, retryAt };
}

function entriesOf<T>(said: unknown, read: (value: unknown) => T | undefined): [string, T][] {
  if (typeof said !== 'object' || said === null) return [];
  return Object.entries(said).flatMap(([key, value]) => {
    const one = read(value);
    return one === undefined ? [] : [[key, one] as [string, T]];
  });
}
