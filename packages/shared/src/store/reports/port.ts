/**
 * Reports of workers. Workers have no HTTP port: an ingress that needs the state of the fleet asks them, and
 * each worker stores a report under its name. Workers also report unasked every 15 s, so that an ingress can
 * show the last report of a worker that is too busy to answer in time.
 */
export type Report = {
  /** When the worker made it: milliseconds since the epoch, by the worker's clock. */
  at: number;
  /** Its metrics, as prom-client's registry gives them as JSON. */
  metrics: readonly unknown[];
  /** Structured state for operators, by section name; JSON that is shown unchanged. */
  sections: Readonly<Record<string, unknown>>;
};

export type WorkerReport = Report & { name: string };

/** `trimmed`: the report was too large, and was stored without the named parts. */
export type PublishOutcome =
  | { kind: 'whole' }
  | { kind: 'trimmed'; bytes: number; without: readonly ('sections' | 'histograms' | 'metrics')[] };

/**
 * Guarantees of every adapter:
 * - a report replaces the previous one, and expires some time after it was published;
 * - `readAll` returns only registered workers;
 * - a report that cannot be read counts as none, and does not affect the others.
 */
export type Reports = {
  /** `questions`: the questions that this report answers. */
  publish(worker: string, report: Report, questions?: readonly string[]): Promise<PublishOutcome>;
  /** Removes the report of a worker that stops. */
  remove(worker: string): Promise<void>;
  /** Asks the registered workers for a report each, and returns the newest of each, sorted by name. */
  readAll(): Promise<WorkerReport[]>;
  /** The newest report of each registered worker as it is, sorted by name: no worker is asked. */
  readLast(): Promise<WorkerReport[]>;
};

/** Prefix of a question on a worker's channel; the question's name follows, which is no request id. */
export const reportQuestion = 'report ';
