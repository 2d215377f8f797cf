/**
 * Reports of workers. Workers have no HTTP port: an ingress that needs the state of the fleet asks them, and each worker
 * stores a report under its name. Workers also report unasked now and then, so that an ingress can show the last report of
 * a worker that is too busy to answer in time.
 */
export type Report = {
  /** When the worker made it: milliseconds since the epoch, by the worker's clock. */
  at: number;
  /** Its metrics, as prom-client's registry gives them as JSON. */
  metrics: readonly unknown[];
  /** Structured state for operators, by the name of its part; as JSON, and shown as it is. */
  sections: Readonly<Record<string, unknown>>;
};

export type WorkerReport = Report & { name: string };

/** `trimmed`: the report was too large, and was stored without the named parts. */
export type PublishOutcome =
  | { kind: 'whole' }
  | { kind: 'trimmed'; bytes: number; without: readonly ('sections' | 'histograms' | 'metrics')[] };

/**
 * Guarantees of every adapter:
 * - a report replaces the one before it, and is gone by itself some time after it was published;
 * - `readAll` returns only registered workers;
 * - a report that cannot be read counts as none, and does not affect the others.
 */
export type Reports = {
  /** `questions`: those that this report answers. */
  publish(worker: string, report: Report, questions?: readonly string[]): Promise<PublishOutcome>;
  /** Removes the report of a worker that stops. */
  remove(worker: string): Promise<void>;
  /** Asks the workers that are present for a report each, and gives the newest of each, sorted by name. */
  readAll(): Promise<WorkerReport[]>;
};

/** How a question begins on a worker's channel; what follows names it, and is no request's id. */
export const reportQuestion = 'report ';
