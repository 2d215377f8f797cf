import { isPattern, restOf } from '@millrace/shared/domain/model-names';
import { showBounds } from '@millrace/shared/runtime/bounds';
import type { Bound } from '@millrace/shared/runtime/bounds';
import { showConfig } from '@millrace/shared/runtime/config-metrics';
import type { ConfigSource } from '@millrace/shared/runtime/config-source';
import { tokenCounts } from '@millrace/shared/cost/usage';
import type { AttemptEnded, AttemptStarted, SeamRecord } from '@millrace/shared/domain/entry';
import { isJsonObject } from '@millrace/shared/domain/json';
import {
  answerBuckets,
  collectProcessMetrics,
  Counter,
  Gauge,
  Histogram,
  Registry,
} from '@millrace/shared/runtime/metrics';
import type { ActivationOutcome } from '@millrace/shared/store/queue/port';
import { countIntake } from '../intake/public-view.ts';
import type { IntakeSnapshot } from '../intake/intake.ts';
import { endedAttempts } from '../run/report.ts';
import type { RunReport } from '../run/report.ts';
import { countUpstreams } from '../upstream/upstream-metrics.ts';
import type { UpstreamSources } from '../upstream/upstream-metrics.ts';
import { createKeyWaits } from './key-waits.ts';

/** The counters of runs, attempts and seams; nothing is counted per chunk. */
export type RunMetrics = {
  runStarted(): void;
  /** `error`: it threw. */
  runEnded(outcome: ActivationOutcome['kind'] | 'error'): void;
  /**
   * The outcome is that of the ledger, or `aborted` for an attempt that ended with its run and has no ledger
   * entry.
   */
  attemptEnded(started: AttemptStarted, ended: AttemptEnded): void;
  seam(rung: SeamRecord['rung'], outcome: SeamRecord['outcome']): void;
};

/** The metrics of the worker. One registry for the process, created in main.ts. */
export type Metrics = RunMetrics & {
  /** Targets and models of a config that was reloaded get series of their own. */
  addNames(names: Pick<MetricsOptions, 'targets' | 'models'>): void;
  /** Counts a run that has ended: the wait, the tokens and the end of its request. */
  runReported(report: RunReport): void;
  /** For the worker's report: every series carries the worker's name. */
  toJson(): Promise<readonly unknown[]>;
};

export type MetricsOptions = {
  bounds?: readonly Bound[];
  /** Counters of pools and breakers. */
  upstreams?: UpstreamSources;
  /** The coalescing window. */
  coalescing?: { readonly ms: number };
  /** The state of the intake. */
  intake?: () => IntakeSnapshot;
  worker: string;
  source?: Pick<ConfigSource, 'state'>;
  /** The targets of the config. A job may name others; those are counted as `other`. */
  targets: Iterable<{ provider: string; model: string }>;
  /** The public models of the config; a job of another one is counted as `other`. */
  models?: Iterable<string>;
};

const buckets = [...answerBuckets];
/** The label of targets that are not in the config, so that jobs cannot create any number of series. */
const other = 'other';

export function createMetrics({
  worker,
  targets,
  models = [],
  upstreams,
  intake,
  coalescing,
  source,
  bounds = [],
}: MetricsOptions): Metrics {
  const registry = new Registry();
  const registers = [registry];
  registry.setDefaultLabels({ worker });
  collectProcessMetrics(registry, 'millrace_worker_');
  showBounds(registry, bounds);
  if (source) showConfig(registry, source);
  if (upstreams) countUpstreams(registry, upstreams);
  if (intake) countIntake(registry, intake);
  if (coalescing) {
    new Gauge({
      name: 'millrace_worker_coalesce_window_seconds',
      help: 'Current coalescing window (delivery.coalesce); 0 while this worker is not late',
      registers,
      collect() {
        this.set(coalescing.ms / 1000);
      },
    });
  }

  const runsActive = new Gauge({
    name: 'millrace_runs_active',
    help: 'Runs under way on this worker',
    registers,
  });
  const runs = new Counter({
    name: 'millrace_runs_total',
    help: 'Runs by outcome; dropped: another worker has the request; not_yet: the request went back to the queue',
    labelNames: ['outcome'],
    registers,
  });
  const attempts = new Counter({
    name: 'millrace_attempts_total',
    help: 'Upstream calls by outcome: completed, superseded, aborted, handed_over, or a fault code',
    labelNames: ['provider', 'model', 'mode', 'outcome'],
    registers,
  });
  const seams = new Counter({
    name: 'millrace_seams_total',
    help: 'Attempts to continue an answer that another attempt began, by outcome',
    labelNames: ['rung', 'outcome'],
    registers,
  });
  const firstToken = new Histogram({
    name: 'millrace_first_token_seconds',
    help: 'Time from the start of an upstream call to its first visible chunk',
    labelNames: ['provider', 'model'],
    buckets,
    registers,
  });
  const duration = new Histogram({
    name: 'millrace_attempt_seconds',
    help: 'Time from the start of an upstream call to its end',
    labelNames: ['provider', 'model', 'outcome'],
    buckets,
    registers,
  });
  const tokens = new Counter({
    name: 'millrace_tokens_total',
    help: 'Tokens of upstream calls; estimated: counted from the text, where the provider reported none',
    labelNames: ['provider', 'model', 'kind', 'estimated'],
    registers,
  });

  const { countRequest, addModels } = requestMetrics(registers);
  addModels(models);
  const targetModels = new Map<string, Set<string>>();
  /** Those of earlier configs stay: runs may still ask them. */
  const addTargets = (some: MetricsOptions['targets']): void => {
    for (const { provider, model } of some) {
      targetModels.set(provider, (targetModels.get(provider) ?? new Set()).add(model));
    }
  };
  addTargets(targets);
  const labelsOf = ({ provider, model }: AttemptStarted) => {
    const known = targetModels.get(provider);
    return {
      provider: known ? provider : other,
      model: known?.has(model) ? model : (wildcardFor(model, known) ?? other),
    };
  };

  return {
    addNames(names) {
      addTargets(names.targets);
      addModels(names.models ?? []);
    },
    runReported: countRequest,
    runStarted: () => runsActive.inc(),
    runEnded(outcome) {
      runsActive.dec();
      runs.inc({ outcome });
    },
    attemptEnded(started, { at, firstTokenAt, outcome, usage, estimated }) {
      const target = labelsOf(started);
      attempts.inc({ ...target, mode: started.mode, outcome });
      duration.observe({ ...target, outcome }, seconds(started.at, at));
      if (firstTokenAt !== undefined) firstToken.observe(target, seconds(started.at, firstTokenAt));
      for (const kind of ['prompt', 'completion'] as const) {
        const count = isJsonObject(usage) ? usage[`${kind}_tokens`] : undefined;
        // The upstream reports these numbers: a counter accepts only finite, non-negative ones.
        if (typeof count !== 'number' || !Number.isFinite(count) || count < 0) continue;
        const isEstimate =
          estimated !== undefined && (estimated !== 'completion' || kind !== 'prompt');
        tokens.inc({ ...target, kind, estimated: String(isEstimate) }, count);
      }
    },
    seam: (rung, outcome) => seams.inc({ rung, outcome }),
    toJson: () => registry.getMetricsAsJSON(),
  };
}

/** Metrics of requests by public model, and of their wait in the queue by class and by key. */
function requestMetrics(registers: Registry[]) {
  const requests = new Counter({
    name: 'millrace_requests_total',
    help: 'Requests that ended while this worker ran them, jobs included; outside: ended by another process, as when a client left',
    labelNames: ['model', 'outcome'],
    registers,
  });
  const tokens = new Counter({
    name: 'millrace_request_tokens_total',
    help: 'Tokens of all attempts by public model: input (to providers) and output (from them)',
    labelNames: ['model', 'kind'],
    registers,
  });
  const tokenParts = new Counter({
    name: 'millrace_request_token_parts_total',
    help: 'Parts of millrace_request_tokens_total: input that the provider had cached, output that was reasoning',
    labelNames: ['model', 'kind'],
    registers,
  });
  const queueWait = new Histogram({
    name: 'millrace_queue_wait_seconds',
    help: 'Time from the creation of a request to its first run, by class',
    labelNames: ['class'],
    buckets: waitBuckets,
    registers,
  });
  const waits = createKeyWaits();
  showKeyWaits(registers, waits);
  const known = new Set<string>();

  return {
    addModels(names: Iterable<string>): void {
      for (const name of names) known.add(name);
    },
    countRequest(report: RunReport): void {
      const { activation, startedAt, outcome, ended } = report;
      const { data, number } = activation;
      // A run that ended as `not_yet` did nothing, and its successor has the same number.
      if (number === 1 && outcome.kind !== 'not_yet') {
        const ms = Math.max(0, startedAt - data.createdAt);
        const { priority = 'front', key = '', weight = 1 } = data.standing ?? {};
        queueWait.observe({ class: priority }, ms / 1000);
        waits.add({ key, weight, ms });
      }
      const model = known.has(data.model) ? data.model : other;
      if (ended) requests.inc({ model, outcome: ended });
      for (const attempt of endedAttempts(report)) {
        const used = tokenCounts(attempt.ended.usage);
        tokens.inc({ model, kind: 'input' }, used.input);
        tokens.inc({ model, kind: 'output' }, used.output);
        if (used.cached > 0) tokenParts.inc({ model, kind: 'cached_input' }, used.cached);
        if (used.reasoning > 0) tokenParts.inc({ model, kind: 'reasoning_output' }, used.reasoning);
      }
    },
  };
}

/** Seconds: from a job that was sent to a free worker to one that waited for the length of the queue. */
const waitBuckets = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800];

function showKeyWaits(registers: Registry[], waits: ReturnType<typeof createKeyWaits>): void {
  new Counter({
    name: 'millrace_key_runs_started_total',
    help: 'First runs of requests by API key; other: all keys beyond the first 50 of this worker',
    labelNames: ['key'],
    registers,
    collect() {
      this.reset();
      for (const [key, { started }] of waits.totals()) this.inc({ key }, started);
    },
  });
  new Counter({
    name: 'millrace_key_queue_wait_seconds_total',
    help: 'Time that requests waited for their first run; divided by millrace_key_runs_started_total: the mean wait of a key',
    labelNames: ['key'],
    registers,
    collect() {
      this.reset();
      for (const [key, { seconds: waited }] of waits.totals()) this.inc({ key }, waited);
    },
  });
  new Gauge({
    name: 'millrace_fairness_index',
    help: "Jain's index of the last minute over the keys whose requests waited for this worker, by weight; 1: all were served alike",
    registers,
    collect() {
      this.set(waits.fairness());
    },
  });
}

/** The ledger uses wall-clock time, which can be set back. */
const seconds = (from: number, to: number): number => Math.max(0, to - from) / 1000;

const wildcardFor = (model: string, known: ReadonlySet<string> | undefined): string | undefined =>
  known?.values().find((name) => isPattern(name) && restOf(name, model) !== undefined);
