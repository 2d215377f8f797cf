import type { BreakerConfig } from '@millrace/shared/config';
import { judge } from './breaker.ts';
import type { BreakerState, Evidence } from './breaker.ts';
import type { LastFault } from './last-fault.ts';
import { isNewer, nothingDecided } from './state-record.ts';
import type { StateRecord } from './state-record.ts';

export type BreakersOptions = {
  worker: string;
  policyOf(key: string): BreakerConfig;
  evidence(key: string): Evidence;
  /** The last fault of the target that this worker has seen. */
  lastFault(key: string): LastFault | undefined;
  now: () => number;
  random: () => number;
  onTransition(breaker: Breaker, transition: Transition): void;
};

export type Breaker = {
  readonly key: string;
  readonly policy: BreakerConfig;
  record: StateRecord;
  /** When this kind of state began; milliseconds since the epoch. */
  since: number;
  /** Rises when the target is given up: calls that began before are ignored then. */
  generation: number;
};

export type Transition = {
  from: BreakerState;
  to: BreakerState;
  /**
   * `decided`: by this worker; `adopted`: from another worker; `elapsed`: by time, which every worker notices
   * itself.
   */
  origin: 'decided' | 'adopted' | 'elapsed';
};

/** The breakers of all targets. */
export function createBreakers(options: BreakersOptions) {
  const { worker, policyOf, evidence, lastFault, now, random, onTransition } = options;
  const breakers = new Map<string, Breaker>();

  function of(key: string): Breaker {
    let breaker = breakers.get(key);
    if (!breaker) {
      breaker = {
        key,
        // A reload of the config may change it.
        get policy() {
          return policyOf(key);
        },
        record: nothingDecided,
        since: now(),
        generation: 0,
      };
      breakers.set(key, breaker);
    }
    return breaker;
  }

  function become(breaker: Breaker, record: StateRecord, origin: Transition['origin']): void {
    const from = breaker.record.state;
    const to = record.state;
    breaker.record = record;
    if (from === to) return;
    if (from.kind !== to.kind) breaker.since = now();
    // A worker that missed the opening may learn of it only from a later state.
    if (wasAsked(from) && to.kind !== 'closed' && from.kind !== to.kind) breaker.generation += 1;
    onTransition(breaker, { from, to, origin });
  }

  /** Sets the state for the whole fleet, unless another worker decided later. */
  function decide(breaker: Breaker, state: BreakerState): void {
    if (state === breaker.record.state) return;
    const epoch = Math.max(breaker.record.epoch + 1, now());
    const fault =
      state.kind === 'closed' ? undefined : newest(breaker.record.fault, lastFault(breaker.key));
    become(breaker, { epoch, by: worker, state, ...(fault && { fault }) }, 'decided');
  }

  /** Brings the state up to date with time and evidence. */
  function look(breaker: Breaker): BreakerState {
    const { state } = breaker.record;
    const next = judge(state, evidence(breaker.key), breaker.policy, now(), random);
    if (next === state) return state;
    if (next.kind === 'open') decide(breaker, next);
    else become(breaker, { ...breaker.record, state: next }, 'elapsed');
    return breaker.record.state;
  }

  return {
    of,
    all: (): Iterable<Breaker> => breakers.values(),
    /** The breakers that are not closed; other workers assume the rest to be. */
    *notClosed(): Iterable<Breaker> {
      for (const breaker of breakers.values()) {
        if (breaker.record.state.kind !== 'closed') yield breaker;
      }
    },
    look,
    decide,
    /** Adopts another worker's decision if it is newer. */
    adopt(breaker: Breaker, record: StateRecord): void {
      if (!isNewer(record, breaker.record)) return;
      become(breaker, record, 'adopted');
      look(breaker);
    },
  };
}

/** The newer of two faults. */
export const newest = (
  one: LastFault | undefined,
  other: LastFault | undefined,
): LastFault | undefined => (one && other ? (one.at > other.at ? one : other) : (one ?? other));

const wasAsked = ({ kind }: BreakerState): boolean => kind === 'closed' || kind === 'recovering';

export type Breakers = ReturnType<typeof createBreakers>;
