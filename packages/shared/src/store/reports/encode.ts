import { isJsonObject, readJsonObject } from '../../domain/json.ts';
import type { PublishOutcome, Report, WorkerReport } from './port.ts';

/**
 * The most bytes of a report. A report has 10 kB at rest and about 12 kB more for every target that was
 * called, most of it histograms; every scrape of an ingress reads those of all workers.
 */
export const maxReportBytes = 1024 * 1024;

/** Milliseconds after which a report expires: some of the unrequested ones may be missed. */
export const reportTtlMs = 45_000;

/** The report's text; if it is too large, parts are left out until it fits. */
export function encodeReport(report: Report): { text: string; outcome: PublishOutcome } {
  const text = JSON.stringify(report);
  const bytes = Buffer.byteLength(text);
  if (bytes <= maxReportBytes) return { text, outcome: { kind: 'whole' } };
  const counts = report.metrics.filter((one) => !isJsonObject(one) || one['type'] !== 'histogram');
  const trimmed = (part: Partial<Report>) => JSON.stringify({ ...report, sections: {}, ...part });
  const lean = trimmed({});
  if (Buffer.byteLength(lean) <= maxReportBytes) {
    return { text: lean, outcome: { kind: 'trimmed', bytes, without: ['sections'] } };
  }
  const leaner = trimmed({ metrics: counts });
  if (Buffer.byteLength(leaner) <= maxReportBytes) {
    return {
      text: leaner,
      outcome: { kind: 'trimmed', bytes, without: ['sections', 'histograms'] },
    };
  }
  const bare = trimmed({ metrics: [] });
  return { text: bare, outcome: { kind: 'trimmed', bytes, without: ['sections', 'metrics'] } };
}

/** Undefined if the text is no report, as from another version or another program. */
export function decodeReport(name: string, text: string): WorkerReport | undefined {
  const value = readJsonObject(text);
  if (!value) return undefined;
  const { at, metrics, sections } = value;
  if (typeof at !== 'number' || !Array.isArray(metrics) || !isJsonObject(sections)) {
    return undefined;
  }
  return { name, at, metrics, sections };
}

export const byName = (a: WorkerReport, b: WorkerReport): number => (a.name < b.name ? -1 : 1);
