import type { BreakerConfig } from '@millrace/shared/config';
import { faultTable } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import { admits, checkedWell, nextChangeAt, probeEnded, probing } from './breaker.ts';
import type { Admission, ProbeOutcome } from './breaker.ts';
import { createBreakers, newest } from './breakers.ts';
import type { Breaker, Transition } from './breakers.ts';
import { createTargetGossip } from './target-gossip.ts';
import { lastFaultOf } from './last-fault.ts';
import type { LastFault } from './last-fault.ts';
import type {
  Health,
  HealthCounters,
  HealthSnapshot,
  HealthOptions,
  CallEvent,
  Outcome,
} from './port.ts';
import { createProbes } from './probes.ts';
import { createSharedStates } from './shared-states.ts';
import type { StateRecord } from './state-record.ts';
import { targetKey, targetOfKey } from '@millrace/shared/domain/target-key';
import { createFleetView } from './view.ts';
import type { CallEnd } from './view.ts';
import { createWakeUp } from './wake-up.ts';

/** Milliseconds that a probe may take from its claim to its start. */
const startWithinMs = 1000;
/** Milliseconds until this worker tries again to claim a probe that another worker holds. */
const holdMs = 1000;
/**
 * Milliseconds after which a client should try again a target that an operator has opened. The time is unknown; a request that
 * waits here is woken when the target is closed.
 */
const heldRetryMs = 30_000;
/** Milliseconds that a claim normally takes at most. */
const claimMs = 50;

/** For a provider that is not in the config: its breaker stays closed. */
const noPolicy: BreakerConfig = {
  enabled: false,
  windowMs: 1000,
  calls: 1,
  errorRate: 100,
  failures: 1,
  probeIntervalMs: 1000,
  rampMs: 0,
};

/** This worker's counts, breakers and probes, joined with those of the fleet. */
export function createHealth(options: HealthOptions): Health {
  const { bus, worker, breakerOf, now = Date.now, random = Math.random, onError } = options;
  const { wasLate = () => false, holds: opened } = options;
  const isHeld = (key: string): boolean => opened?.get(key) !== undefined;
  const policyOf = (key: string) => breakerOf(targetOfKey(key).provider) ?? noPolicy;
  const counted = new Map<string, Counters>();
  const lastFaults = new Map<string, LastFault>();
  /** Probes that were claimed and have not started. */
  const claimed = new Map<string, NodeJS.Timeout>();
  /** By target: until when another worker holds the probe. */
  const holds = new Map<string, number>();
  let isClosed = false;

  const view = createFleetView({ worker, now, windowMsOf: (key) => policyOf(key).windowMs });
  const probes = createProbes({ fleet: bus, now });
  const breakers = createBreakers({
    worker,
    policyOf,
    evidence: (key) => view.evidence(view.target(key)),
    lastFault: (key) => lastFaults.get(key),
    now,
    random,
    onTransition,
  });
  const states = createSharedStates({
    fleet: bus,
    now,
    current: (key) => breakers.of(key).record,
    judges,
    adopt,
    onError,
  });
  const gossip = createTargetGossip({ fleet: bus, worker, view, breakers, states, adopt, now });
  const wakeUp = createWakeUp({ now, nextAt, onWake: () => refresh(), onError });
  opened?.onChange(() => wakeUp.notify());

  /** Whether this worker's config has the target: another worker's may have others. */
  function judges(key: string): boolean {
    return policyOf(key).enabled && view.has(key);
  }

  function adopt(key: string, record: StateRecord): void {
    if (judges(key)) breakers.adopt(breakers.of(key), record);
  }

  function countersOf(key: string): Counters {
    let found = counted.get(key);
    if (!found) counted.set(key, (found = noCounts()));
    return found;
  }

  const lastFault = (key: string): LastFault | undefined =>
    newest(breakers.of(key).record.fault, lastFaults.get(key));

  function onTransition({ key, record }: Breaker, { from, to, origin }: Transition): void {
    holds.delete(key);
    const isMine = record.by === worker && origin !== 'adopted';
    if (origin === 'decided') gossip.publish(key, 'at once');
    if (origin === 'decided' || (isMine && to.kind === 'closed')) states.share(key);
    wakeUp.arm();
    if (from.kind === to.kind) return;
    // A worker that has just started has a success rate of 1 for every target.
    if (origin === 'adopted' && to.kind !== 'closed') view.target(key).success.doubt();
    view.renew(view.target(key), to.kind === 'closed' || to.kind === 'recovering');
    if (isMine) countersOf(key).transitions[to.kind] += 1;
    try {
      const change = { from: from.kind, to: to.kind, byThisWorker: isMine, fault: lastFault(key) };
      options.onChange?.({ target: targetOfKey(key), ...change });
    } catch (error) {
      onError(error);
    }
    if (to.kind !== 'open') wakeUp.notify();
  }

  function refresh(): void {
    for (const breaker of breakers.notClosed()) breakers.look(breaker);
    for (const [key, until] of holds) if (now() >= until) holds.delete(key);
  }

  /** When the passing of time next changes the state of any target. */
  function nextAt(): number | undefined {
    let next: number | undefined;
    for (const { key, policy, record } of breakers.notClosed()) {
      const at = nextChangeAt(record.state, policy, now()) ?? holds.get(key);
      if (at !== undefined && (next === undefined || at < next)) next = at;
    }
    return next;
  }

  function admitKey(key: string): Admission {
    if (isHeld(key)) return 'no';
    const breaker = breakers.of(key);
    if (breaker.record.state.kind === 'closed') return 'yes';
    const verdict = admits(breakers.look(breaker), breaker.policy, now(), random);
    return verdict === 'ask' && isInVain(key) ? 'no' : verdict;
  }

  /**
   * Whether a claim would fail: another request of this worker has the probe, or another worker had it within
   * `holdMs`.
   */
  const isInVain = (key: string): boolean => probes.has(key) || now() < (holds.get(key) ?? 0);

  async function claimProbe(target: Target): Promise<boolean> {
    const key = targetKey(target);
    const before = admitKey(key);
    if (before !== 'ask') return before === 'yes';
    const breaker = breakers.of(key);
    const won = await probes.claim(key, breaker.policy.probeIntervalMs);
    const state = breakers.look(breaker);
    const isRefused = isClosed || isHeld(key);
    const after = isRefused ? 'no' : admits(state, breaker.policy, now(), random);
    if (won && after === 'ask' && state.kind === 'half-open') {
      claimed.set(
        key,
        setTimeout(() => probeOver(key, 'void'), startWithinMs),
      );
      countersOf(key).probes.started += 1;
      breakers.decide(breaker, probing(state, worker, now()));
      return true;
    }
    if (won) probes.end(key, breaker.policy.probeIntervalMs);
    else if (after === 'ask') {
      holds.set(key, now() + holdMs);
      wakeUp.arm();
    }
    // The target has recovered meanwhile: no probe is needed.
    return after === 'yes';
  }

  function probeOver(key: string, kind: ProbeOutcome['kind']): void {
    clearTimeout(claimed.get(key));
    claimed.delete(key);
    countersOf(key).probes[kind] += 1;
    const breaker = breakers.of(key);
    const { state } = breaker.record;
    probes.end(key, breaker.policy.probeIntervalMs);
    if (state.kind !== 'half-open' || state.probe?.by !== worker) return;
    const { retryAt } = view.evidence(view.target(key));
    breakers.decide(breaker, probeEnded(state, { kind }, retryAt, breaker.policy, now(), random));
    breakers.look(breaker);
  }

  function started(target: Target): (news: CallEvent) => void {
    const key = targetKey(target);
    const one = view.target(key);
    const breaker = breakers.of(key);
    const { generation } = breaker;
    let probe = claimed.has(key);
    let open = true;
    let hasSpoken = false;
    clearTimeout(claimed.get(key));
    claimed.delete(key);
    one.own.inFlight += 1;
    gossip.publish(key, 'soon');

    function firstToken(ms: number): void {
      if (!open || hasSpoken) return;
      hasSpoken = true;
      // A time that this process measured while it was blocked is not the target's.
      if (!wasLate()) view.firstToken(one, ms);
      gossip.publish(key, 'soon');
      endProbe('ok');
    }

    function endProbe(kind: ProbeOutcome['kind']): void {
      if (!probe) return;
      probe = false;
      probeOver(key, kind);
    }

    return (news) => {
      if (news.kind === 'first-token') {
        firstToken(news.ms);
        return;
      }
      if (!open) return;
      if (news.kind === 'ok' && news.firstTokenMs !== undefined) firstToken(news.firstTokenMs);
      open = false;
      const seen = endOf(news);
      const end = seen === 'failed' && wasLate() ? 'void' : seen;
      if (end === 'failed' && news.kind === 'fault') {
        lastFaults.set(key, lastFaultOf(news.fault, now()));
      }
      const retryAfterMs = news.kind === 'fault' ? news.fault.retryAfterMs : undefined;
      // A call from before the target was given up says nothing about its present state.
      view.ended(one, breaker.generation === generation ? end : 'void', retryAfterMs);
      gossip.publish(key, end === 'failed' ? 'urgent' : 'soon');
      endProbe(end);
      breakers.look(breaker);
    };
  }

  return {
    started,
    admit: (target) => admitKey(targetKey(target)),
    claimProbe,
    checked(target, end, fault) {
      const key = targetKey(target);
      if (end === 'failed' && fault) lastFaults.set(key, lastFaultOf(fault, now()));
      const breaker = breakers.of(key);
      view.checked(view.target(key), end);
      gossip.publish(key, 'urgent');
      if (end === 'ok') {
        breakers.decide(breaker, checkedWell(breakers.look(breaker), breaker.policy, now()));
      }
      breakers.look(breaker);
    },
    stateOf(target) {
      const key = targetKey(target);
      return isHeld(key) ? 'open' : breakers.look(breakers.of(key)).kind;
    },
    isHeld: (target) => isHeld(targetKey(target)),
    inFlight: (target) => view.inFlight(targetKey(target)),
    firstTokenMs: (target) => view.target(targetKey(target)).firstToken.read(now()),
    successRate(target) {
      const key = targetKey(target);
      // If all targets of a model fail, the selection asks the best one of them: never one that an operator has opened.
      return isHeld(key) ? 0 : view.target(key).success.read();
    },
    nextTryAt(target) {
      const { key, policy, record } = breakers.of(targetKey(target));
      if (isHeld(key)) return now() + heldRetryMs;
      const soon = probes.has(key) ? now() + claimMs : undefined;
      return nextChangeAt(record.state, policy, now()) ?? holds.get(key) ?? soon;
    },
    onAvailable: wakeUp.listen,
    retune() {
      view.retune();
      refresh();
      wakeUp.arm();
    },
    snapshot: () => ({
      workers: view.workers(),
      targets: [...view.targets()].map(({ key }) => snapshotOf(key)),
      held: opened?.keys ?? [],
    }),
    counters: () => ({
      ...sumOf(counted.values()),
      targets: [...view.targets()].map(({ key }) => ({
        ...targetOfKey(key),
        ...structuredClone(countersOf(key)),
      })),
      pulses: { ...gossip.counters(), dropped: bus.counters().dropped },
    }),
    close() {
      isClosed = true;
      wakeUp.close();
      for (const timer of claimed.values()) clearTimeout(timer);
      gossip.close();
      probes.close();
    },
  };

  function snapshotOf(key: string): HealthSnapshot['targets'][number] {
    const one = view.target(key);
    const breaker = breakers.of(key);
    const state = breakers.look(breaker);
    const held = opened?.get(key);
    const { calls, errors, usualRate } = view.evidence(one);
    return {
      ...targetOfKey(key),
      state: held ? 'open' : state.kind,
      since: held?.at ?? breaker.since,
      window: { calls, errors },
      usualRate,
      successRate: one.success.read(),
      inFlight: view.inFlight(key),
      firstTokenMs: one.firstToken.read(now()),
      // A probe may go to a half-open target at any time.
      nextProbeAt: !held && state.kind === 'open' ? state.until : undefined,
      lastFault: lastFault(key),
      held,
    };
  }
}

type Counters = Pick<HealthCounters, 'transitions' | 'probes'>;

const noCounts = (): Counters => ({
  transitions: { closed: 0, open: 0, 'half-open': 0, recovering: 0 },
  probes: { started: 0, ok: 0, failed: 0, void: 0 },
});

function sumOf(all: Iterable<Counters>): Counters {
  const sum = noCounts();
  for (const { transitions, probes } of all) {
    add(sum.transitions, transitions);
    add(sum.probes, probes);
  }
  return sum;
}

function add<Name extends string>(to: Record<Name, number>, more: Readonly<Record<Name, number>>) {
  for (const name in more) to[name] += more[name];
}

const endOf = (outcome: Outcome): CallEnd => {
  if (outcome.kind !== 'fault') return outcome.kind;
  // A lost connection counts once, however many requests it carried.
  const { code, isEcho } = outcome.fault;
  return faultTable[code].health && !isEcho ? 'failed' : 'void';
};
