import { closed } from './breaker.ts';
import type { BreakerState, Cause } from './breaker.ts';
import { readLastFault } from './last-fault.ts';
import type { LastFault } from './last-fault.ts';

/** A breaker's state as workers exchange it. The newest decision is valid for all. */
export type StateRecord = {
  /** Rises with every decision: milliseconds since the epoch, or one above what was seen. */
  epoch: number;
  /** The worker that decided. */
  by: string;
  state: BreakerState;
  /** Why it is not closed, as observed by the worker that decided. */
  fault?: LastFault | undefined;
};

export const nothingDecided: StateRecord = { epoch: 0, by: '', state: closed };

/** Between two simultaneous decisions every worker chooses the same one. */
export const isNewer = (one: StateRecord, other: StateRecord): boolean =>
  one.epoch > other.epoch || (one.epoch === other.epoch && one.by > other.by);

/** The most consecutive openings that are counted; more make no difference. */
const mostTimes = 100;
/** Milliseconds: the longest probe interval of the config, four times. */
const maxUntilMs = 4 * 600_000;

/** Converts times to distances from now, because another worker's clock may differ. */
export const asDistances = ({ state, ...rest }: StateRecord, now: number): StateRecord => {
  switch (state.kind) {
    case 'closed':
      return { ...rest, state };
    case 'open':
      return { ...rest, state: { ...state, until: state.until - now } };
    case 'half-open': {
      const probe = state.probe && { ...state.probe, at: state.probe.at - now };
      return { ...rest, state: { ...state, probe } };
    }
    case 'recovering':
      return { ...rest, state: { ...state, since: state.since - now } };
  }
};

/**
 * Parses a state from another worker, perhaps of another version; undefined if it is malformed. Its times
 * count from `base`: 0, or now for distances. Because clocks differ, a beginning is moved out of the future,
 * and an end is bounded.
 */
export function readStateRecord(said: unknown, now: number, base = 0): StateRecord | undefined {
  if (!isObject(said)) return undefined;
  const { epoch, by } = said;
  if (!isNumber(epoch) || epoch < 0 || typeof by !== 'string') return undefined;
  const state = readState(said.state, now, base);
  const fault = readLastFault(said.fault);
  return state && { epoch, by, state, ...(fault && { fault }) };
}

function readState(said: unknown, now: number, base: number): BreakerState | undefined {
  if (!isObject(said)) return undefined;
  const times = isNumber(said.times) ? Math.min(Math.max(1, said.times), mostTimes) : 1;
  const cause: Cause = said.cause === 'checks' ? 'checks' : 'calls';
  switch (said.kind) {
    case 'closed':
      return closed;
    case 'open': {
      if (!isNumber(said.until)) return undefined;
      const until = Math.min(said.until + base, now + maxUntilMs);
      return { kind: 'open', until, times, cause };
    }
    case 'half-open': {
      const { probe } = said;
      if (!isObject(probe)) return { kind: 'half-open', times, cause, probe: undefined };
      if (!isNumber(probe.at) || typeof probe.by !== 'string') return undefined;
      const at = Math.min(probe.at + base, now);
      return { kind: 'half-open', times, cause, probe: { by: probe.by, at } };
    }
    case 'recovering':
      if (!isNumber(said.since)) return undefined;
      return { kind: 'recovering', since: Math.min(said.since + base, now), times };
    default:
      return undefined;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

const isNumber = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value);
