import { Counter, Gauge } from '@millrace/shared/runtime/metrics';
import type { Registry } from '@millrace/shared/runtime/metrics';
import type { Target } from '@millrace/shared/domain/request';
import { targetKey } from '@millrace/shared/domain/target-key';
import type { Checks } from './health/checks.ts';
import type { HealthCounters, HealthSnapshot } from './health/port.ts';
import type { PoolStats } from './pool/stats.ts';

export type UpstreamSources = {
  /** By provider. */
  pools(): Readonly<Record<string, PoolStats>>;
  health(): HealthSnapshot;
  counters(): HealthCounters;
  checks: Checks['byTarget'];
  failing: Checks['failing'];
  keysAside(): readonly { provider: string; index: number; isAside: boolean }[];
  /** The public models of the config in use. */
  models(): Readonly<Record<string, { targets: readonly Target[] }>>;
  /** Requests that wait while no target can be asked, by model. */
  waiting(): Readonly<Record<string, number>>;
};

/** States of a breaker as a number for alerts: above 0 the target does not get all requests. */
const stateNumbers = { closed: 0, recovering: 1, 'half-open': 2, open: 3 } as const;

/** Reads the counters of pools and breakers when metrics are collected, so requests do no work for them. */
export function countUpstreams(registry: Registry, sources: UpstreamSources): void {
  const registers = [registry];

  /** A counter whose total another component keeps. */
  function total(name: string, help: string, labelNames: string[], read: (add: Add) => void): void {
    new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        read((value, labels = {}) => this.inc(labels, value));
      },
    });
  }

  function gauge(name: string, help: string, labelNames: string[], read: (add: Add) => void): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        read((value, labels = {}) => this.set(labels, value));
      },
    });
  }

  /** One series for each name. */
  const by =
    (label: string, counts: () => Readonly<Record<string, number>>) =>
    (add: Add): void => {
      for (const [name, count] of Object.entries(counts())) add(count, { [label]: name });
    };

  const ofPools =
    (tell: (stats: PoolStats, add: Add) => void) =>
    (add: Add): void => {
      for (const [provider, stats] of Object.entries(sources.pools())) {
        tell(stats, (value, labels) => add(value, { provider, ...labels }));
      }
    };

  gauge(
    'millrace_pool_connections',
    'Open connections: active, idle (warm: not used yet), and those being opened',
    ['provider', 'state'],
    ofPools(({ active, idle, warm, connecting }, add) => {
      add(active, { state: 'active' });
      add(idle - warm, { state: 'idle' });
      add(warm, { state: 'warm' });
      add(connecting, { state: 'connecting' });
    }),
  );
  gauge(
    'millrace_pool_connections_limit',
    'Connections that may be open; those that are open or being opened divided by it: utilisation',
    ['provider'],
    ofPools(({ limit }, add) => add(limit)),
  );
  gauge(
    'millrace_pool_waiting',
    'Requests that wait for a connection',
    ['provider'],
    ofPools(({ waiting }, add) => add(waiting)),
  );
  gauge(
    'millrace_pool_reuse_ratio',
    'Share of requests that reused a connection',
    ['provider'],
    ofPools(({ reuseRate }, add) => add(reuseRate)),
  );
  total(
    'millrace_pool_requests_total',
    'Requests that got a connection',
    ['provider'],
    ofPools(({ requests }, add) => add(requests)),
  );
  total(
    'millrace_pool_connects_total',
    'Connections opened',
    ['provider'],
    ofPools(({ connects }, add) => add(connects)),
  );
  total(
    'millrace_pool_connect_failures_total',
    'Connections that could not be opened, by fault code',
    ['provider', 'fault'],
    ofPools(({ connectFailures }, add) => {
      for (const [fault, count] of Object.entries(connectFailures)) add(count, { fault });
    }),
  );
  total(
    'millrace_pool_handshakes_total',
    'TLS handshakes, full and resumed',
    ['provider', 'resumed'],
    ofPools(({ handshakes: { tls, resumed } }, add) => {
      add(tls - resumed, { resumed: 'false' });
      add(resumed, { resumed: 'true' });
    }),
  );
  total(
    'millrace_pool_closed_total',
    'Connections closed, by reason',
    ['provider', 'reason'],
    ofPools(({ closed }, add) => {
      for (const [reason, count] of Object.entries(closed)) add(count, { reason });
    }),
  );
  total(
    'millrace_pool_waits_total',
    'Requests that had to wait for a connection',
    ['provider'],
    ofPools(({ waited }, add) => add(waited.count)),
  );
  total(
    'millrace_pool_wait_seconds_total',
    'Time that requests waited for a connection',
    ['provider'],
    ofPools(({ waited }, add) => add(waited.totalMs / 1000)),
  );
  total(
    'millrace_pool_wait_timeouts_total',
    'Requests that got no connection in time',
    ['provider'],
    ofPools(({ waitTimeouts }, add) => add(waitTimeouts)),
  );
  total(
    'millrace_pool_closed_requests_total',
    'Requests that closed connections had carried; divided by millrace_pool_closed_total: requests per connection',
    ['provider'],
    ofPools(({ requestsPerConnection }, add) => add(requestsPerConnection.sum)),
  );
  total(
    'millrace_pool_closed_lifetime_seconds_total',
    'Time for which closed connections had been open; divided by millrace_pool_closed_total: mean lifetime',
    ['provider'],
    ofPools(({ lifetimeMs }, add) => add(lifetimeMs.sum / 1000)),
  );

  gauge(
    'millrace_breaker_state',
    'The breaker of a target as this worker sees it: 0 closed, 1 recovering, 2 half-open, 3 open',
    ['provider', 'model'],
    (add) => {
      for (const { provider, model, state } of sources.health().targets) {
        add(stateNumbers[state], { provider, model });
      }
    },
  );
  gauge(
    'millrace_target_in_flight',
    'Calls in flight to a target in the whole fleet, as this worker knows it',
    ['provider', 'model'],
    (add) => {
      for (const { provider, model, inFlight } of sources.health().targets) {
        add(inFlight, { provider, model });
      }
    },
  );
  total(
    'millrace_breaker_transitions_total',
    'State changes of breakers that this worker decided, by new state',
    ['provider', 'model', 'state'],
    (add) => {
      for (const { provider, model, transitions } of sources.counters().targets) {
        for (const [state, count] of Object.entries(transitions)) {
          add(count, { provider, model, state });
        }
      }
    },
  );
  total(
    'millrace_breaker_probes_total',
    'Probes of broken targets, by outcome',
    ['provider', 'model', 'outcome'],
    (add) => {
      for (const { provider, model, probes } of sources.counters().targets) {
        for (const outcome of ['ok', 'failed', 'void'] as const) {
          add(probes[outcome], { provider, model, outcome });
        }
      }
    },
  );
  total(
    'millrace_fleet_pulses_total',
    'Messages about targets between workers: sent, received, dropped',
    ['direction'],
    by('direction', () => sources.counters().pulses),
  );
  total(
    'millrace_health_checks_total',
    'Active checks that this worker made for the fleet, by the target that they covered',
    ['provider', 'model', 'outcome'],
    (add) => {
      for (const { provider, model, ok, failed } of sources.checks()) {
        add(ok, { provider, model, outcome: 'ok' });
        add(failed, { provider, model, outcome: 'failed' });
      }
    },
  );
  gauge(
    'millrace_health_check_failing',
    '1 if the last active check of a target failed, 0 if it succeeded; from the worker that checks for the fleet',
    ['provider', 'model'],
    (add) => {
      for (const { provider, model, isFailing } of sources.failing()) {
        add(isFailing ? 1 : 0, { provider, model });
      }
    },
  );
  gauge(
    'millrace_provider_key_set_aside',
    '1 while this worker does not use a key of a provider because the provider rejected it; key: its position in the config',
    ['provider', 'key'],
    (add) => {
      for (const { provider, index, isAside } of sources.keysAside()) {
        add(isAside ? 1 : 0, { provider, key: String(index) });
      }
    },
  );
  gauge(
    'millrace_model_targets',
    'Targets of a public model: all, and those that neither their breaker nor an operator has opened',
    ['model', 'state'],
    (add) => {
      const { targets: known, held } = sources.health();
      const broken = known.filter(({ state }) => state === 'open');
      const open = new Set([...held, ...broken.map((target) => targetKey(target))]);
      for (const [model, { targets }] of Object.entries(sources.models())) {
        const distinct = [...new Set(targets.map((target) => targetKey(target)))];
        add(distinct.length, { model, state: 'all' });
        add(distinct.filter((key) => !open.has(key)).length, { model, state: 'not_open' });
      }
    },
  );
  gauge(
    'millrace_requests_waiting_for_target',
    'Requests on this worker that wait while no target of their model can be asked',
    ['model'],
    by('model', () => sources.waiting()),
  );
}

type Add = (value: number, labels?: Record<string, string>) => void;
