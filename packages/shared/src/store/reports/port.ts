/**
 * What workers say of themselves. They have no port of their own: an ingress that is asked about the
 * fleet asks them, and each leaves a report under its name. They also do so unasked, now and then: one
 * that is too busy to answer in time is shown as it was.
 */
export type Report = {
  /** When it was made: milliseconds since the epoch, by the worker's clock. */
  at: number;
  /** Its metrics, as prom-client's registry gives them as JSON. */
  metrics: readonly unknown[];
  /** Structured state for operators, by the name of its part; as JSON, and shown as it is. */
  sections: Readonly<Record<string, unknown>>;
};

export type WorkerReport = Report & { name: string };

/** `trimmed`: it was larger than a report may be, and the parts named were left out. */
export type PublishOutcome =
  | { kind: 'whole' }
  | { kind: 'trimmed'; bytes: number; without: readonly ('sections' | 'histograms' | 'metrics')[] };

/**
 * Guarantees of every adapter:
 * - a report replaces the one before it, and is gone by itself some time after it was published;
 * - only workers on the presence list are seen;
 * - a report that cannot be read is as good as none, and takes nothing from the others.
 */
export type Reports = {
  /** `questions`: those that this report answers. */
  publish(worker: string, report: Report, questions?: readonly string[]): Promise<PublishOutcome>;
  /** The worker leaves: nothing of it is seen any more. */
  remove(worker: string): Promise<void>;
  /** Asks the workers that are present for a report each, and gives the newest of each, sorted by name. */
  readAll(): Promise<WorkerReport[]>;
};

/** How a question begins on a worker's channel; what follows names it, and is no request's id. */
export const reportQuestion = 'report ';
