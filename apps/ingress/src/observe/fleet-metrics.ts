import { setImmediate as turn } from 'node:timers/promises';
import { isJsonObject } from '@millrace/shared/domain/json';

export type ProcessMetrics = {
  /** Absent: the ingress itself. */
  worker?: string;
  /** As JSON of prom-client's registry; a worker may have sent anything. */
  metrics: readonly unknown[];
};

type Family = { type: string; help: string; lines: string[] };

/**
 * The metrics of many processes as one page of Prometheus text. The label `worker` distinguishes the series;
 * they are never summed, because a sum would fall when a worker dies, and a counter must not fall.
 *
 * Values of another version, and those that JSON cannot express (NaN), are skipped: one line that Prometheus
 * cannot parse invalidates the whole page.
 *
 * It does not use prom-client's aggregation, which blocked this event loop, through which streams pass, for
 * 290 ms for ten workers with a hundred targets each; this code blocks it for one worker's share at most.
 */
export async function unite(processes: readonly ProcessMetrics[]): Promise<string> {
  const families = new Map<string, Family>();
  for (const { worker, metrics } of processes) {
    for (const metric of metrics) addMetric(families, metric, worker);
    await turn();
  }
  const pages = [...families].map(([name, { type, help, lines }]) =>
    [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`, ...lines].join('\n'),
  );
  return `${pages.join('\n\n')}\n`;
}

function addMetric(families: Map<string, Family>, metric: unknown, worker?: string): void {
  const { name, type, help, values } = isJsonObject(metric) ? metric : {};
  if (!isName(name) || !isType(type) || typeof help !== 'string' || !Array.isArray(values)) return;
  const family = families.get(name) ?? { type, help, lines: [] };
  // A name has one type on a page.
  if (family.type !== type) return;
  families.set(name, family);
  for (const value of values as unknown[]) {
    const line = lineOf(name, value, worker);
    if (line !== undefined) family.lines.push(line);
  }
}

function lineOf(family: string, sample: unknown, worker?: string): string | undefined {
  if (!isJsonObject(sample)) return undefined;
  const { metricName = family, value, labels } = sample;
  if (typeof value !== 'number' || !isJsonObject(labels)) return undefined;
  if (!isName(metricName) || !metricName.startsWith(family)) return undefined;
  let text = worker === undefined ? '' : `worker="${escapeLabel(worker)}"`;
  for (const label of Object.keys(labels)) {
    if (label === 'worker' && worker !== undefined) continue;
    const said = labels[label];
    if (!isLabel(label) || (typeof said !== 'string' && typeof said !== 'number')) return undefined;
    text += `${text === '' ? '' : ','}${label}="${escapeLabel(String(said))}"`;
  }
  return `${metricName}${text === '' ? '' : `{${text}}`} ${formatNumber(value)}`;
}

const isName = (value: unknown): value is string =>
  typeof value === 'string' && /^[a-zA-Z_:][\w:]*$/.test(value);

const isLabel = (name: string): boolean => /^[a-zA-Z_]\w*$/.test(name);

const isType = (value: unknown): value is string =>
  value === 'counter' || value === 'gauge' || value === 'histogram' || value === 'summary';

const escapeHelp = (text: string): string => text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n');

const escapeLabel = (text: string): string =>
  /[\\\n"]/.test(text) ? escapeHelp(text).replace(/"/g, '\\"') : text;

function formatNumber(value: number): string {
  if (value === Infinity) return '+Inf';
  return value === -Infinity ? '-Inf' : String(value);
}
