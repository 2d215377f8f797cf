import { showBounds } from '@millrace/shared/runtime/bounds';
import type { Bound } from '@millrace/shared/runtime/bounds';
import type { AttemptEnded, AttemptStarted, SeamRecord } from '@millrace/shared/domain/entry';
import { isJsonObject } from '@millrace/shared/domain/json';
import {
  collectProcessMetrics,
  Counter,
  Gauge,
  Histogram,
  Registry,
} from '@millrace/shared/runtime/metrics';
import type { ActivationOutcome } from '@millrace/shared/store/queue/port';
import { countIntake } from '../intake/public-view.ts';
import type { IntakeSnapshot } from '../intake/intake.ts';
import { countUpstreams } from '../upstream/upstream-metrics.ts';
import type { UpstreamSources } from '../upstream/upstream-metrics.ts';

/** What a run counts: by the run, the attempt and the seam, and nothing by the chunk. */
export type RunMetrics = {
  runStarted(): void;
  /** `error`: it threw. */
  runEnded(outcome: ActivationOutcome['kind'] | 'error'): void;
  /** As in the ledger; or `aborted`, for one that its run took along and no ledger knows. */
  attemptEnded(started: AttemptStarted, ended: AttemptEnded): void;
  seam(rung: SeamRecord['rung'], outcome: SeamRecord['outcome']): void;
};

/** What the worker counts. One registry for the process, made in main.ts. */
export type Metrics = RunMetrics & {
  /** For the worker's report: every series carries the worker's name. */
  toJson(): Promise<readonly unknown[]>;
};

export type MetricsOptions = {
  bounds?: readonly Bound[];
  /** What pools and breakers count. */
  upstreams?: UpstreamSources;
  /** How long the chunks of a stream are gathered. */
  coalescing?: { readonly ms: number };
  /** How much is taken. */
  intake?: () => IntakeSnapshot;
  worker: string;
  /** Those of the config. A job may name others, and what is not named here is counted as `other`. */
  targets: Iterable<{ provider: string; model: string }>;
};

/** Seconds: from a cached answer to the whole of a long one, or the first token of one who thinks. */
const buckets = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120];
/** The label of whatever would make a series for every name that a job can have. */
const other = 'other';

export function createMetrics({
  worker,
  targets,
  upstreams,
  intake,
  coalescing,
  bounds = [],
}: MetricsOptions): Metrics {
  const registry = new Registry();
  const registers = [registry];
  registry.setDefaultLabels({ worker });
  collectProcessMetrics(registry, 'millrace_worker_');
  showBounds(registry, bounds);
  if (upstreams) countUpstreams(registry, upstreams);
  if (intake) countIntake(registry, intake);
  if (coalescing) {
    new Gauge({
      name: 'millrace_worker_coalesce_window_seconds',
      help: 'How long the chunks of a stream are gathered now (delivery.coalesce); 0: not at all, as this worker is not late',
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
    help: 'Runs by how they ended; dropped: another worker has the request; not_yet: it went back to wait in the queue',
    labelNames: ['outcome'],
    registers,
  });
  const attempts = new Counter({
    name: 'millrace_attempts_total',
    help: 'Upstream calls by how they ended: completed, superseded, aborted, handed_over, or a fault',
    labelNames: ['provider', 'model', 'mode', 'outcome'],
    registers,
  });
  const seams = new Counter({
    name: 'millrace_seams_total',
    help: 'Places where one attempt went on with what another one had begun, or failed to',
    labelNames: ['rung', 'outcome'],
    registers,
  });
  const firstToken = new Histogram({
    name: 'millrace_first_token_seconds',
    help: 'From the start of an upstream call to its first visible chunk',
    labelNames: ['provider', 'model'],
    buckets,
    registers,
  });
  const duration = new Histogram({
    name: 'millrace_attempt_seconds',
    help: 'From the start of an upstream call to its end',
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

  const models = new Map<string, Set<string>>();
  for (const { provider, model } of targets) {
    models.set(provider, (models.get(provider) ?? new Set()).add(model));
  }
  const labelsOf = ({ provider, model }: AttemptStarted) => {
    const known = models.get(provider);
    return {
      provider: known ? provider : other,
      model: known?.has(model) ? model : other,
    };
  };

  return {
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
        // Upstream's own words: a counter takes no others than these.
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

/** The clock of the ledger is the wall's, and that can be set back. */
const seconds = (from: number, to: number): number => Math.max(0, to - from) / 1000;
