import { isJsonObject } from '../domain/json.ts';
import type { PublishOutcome, Report, WorkerReport } from './port.ts';

/**
 * Bytes of a report. One has 30 kB at rest and some 10 kB more for every target that was called; every
 * scrape of an ingress reads those of all workers.
 */
export const maxReportBytes = 1024 * 1024;

/** Milliseconds that a report outlives its publication: ten of them may be missed. */
export const reportTtlMs = 10_000;

/** The report's text, without what would make it too large: first its sections, then its metrics. */
export function encodeReport(report: Report): { text: string; outcome: PublishOutcome } {
  const text = JSON.stringify(report);
  const bytes = Buffer.byteLength(text);
  if (bytes <= maxReportBytes) return { text, outcome: { kind: 'whole' } };
  const lean = JSON.stringify({ ...report, sections: {} });
  if (Buffer.byteLength(lean) <= maxReportBytes) {
    return { text: lean, outcome: { kind: 'trimmed', bytes, without: ['sections'] } };
  }
  return {
    text: JSON.stringify({ at: report.at, metrics: [], sections: {} }),
    outcome: { kind: 'trimmed', bytes, without: ['sections', 'metrics'] },
  };
}

/** Undefined when the text is no report: another version wrote it, or somebody else. */
export function decodeReport(name: string, text: string): WorkerReport | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isJsonObject(value)) return undefined;
  const { at, metrics, sections } = value;
  if (typeof at !== 'number' || !Array.isArray(metrics) || !isJsonObject(sections)) {
    return undefined;
  }
  return { name, at, metrics, sections };
}

export const byName = (a: WorkerReport, b: WorkerReport): number => (a.name < b.name ? -1 : 1);
