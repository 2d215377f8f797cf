import { byName, decodeReport, encodeReport, reportTtlMs } from './encode.ts';
import type { Reports } from './port.ts';

export type MemoryReportsOptions = {
  /** The names of the registered workers. */
  present(): Iterable<string>;
  /** Milliseconds on any clock. */
  now(): number;
  /** @defaultValue reportTtlMs */
  ttlMs?: number;
};

/** The reports within one process, for tests. */
export function createMemoryReports(options: MemoryReportsOptions): Reports {
  const { present, now, ttlMs = reportTtlMs } = options;
  const texts = new Map<string, { text: string; until: number }>();

  async function readLast() {
    const found = [...present()].flatMap((name) => {
      const kept = texts.get(name);
      const report = kept && kept.until > now() ? decodeReport(name, kept.text) : undefined;
      return report ? [report] : [];
    });
    return found.sort(byName);
  }

  return {
    async publish(worker, report) {
      const { text, outcome } = encodeReport(report);
      texts.set(worker, { text, until: now() + ttlMs });
      return outcome;
    },

    async remove(worker) {
      texts.delete(worker);
    },

    readAll: readLast,
    readLast,
  };
}
