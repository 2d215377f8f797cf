import { isJsonObject } from '@millrace/shared/domain/json';
import { AggregatorRegistry } from '@millrace/shared/metrics';

/**
 * The metrics of many processes as one page of Prometheus text. Each comes as its registry gives it as
 * JSON. Series are told apart by their labels and never added up: a sum would go down when a process
 * ends, and a counter must not. Where two are the same all the same, the first one's stays.
 *
 * What was sent by another version, or lost a value on the way (JSON has no NaN), is passed over: one
 * line that Prometheus cannot read costs the whole page.
 */
export async function unite(processes: readonly (readonly unknown[])[]): Promise<string> {
  const types = new Map<string, string>();
  const readable = processes.map((metrics) =>
    metrics.flatMap((metric) => {
      const { name, type, help, values } = isJsonObject(metric) ? metric : {};
      if (!isName(name) || !isType(type) || typeof help !== 'string') return [];
      // A name has one type on a page.
      if ((types.get(name) ?? type) !== type) return [];
      types.set(name, type);
      if (!Array.isArray(values)) return [];
      return [{ name, type, help, values: values.filter(isSample), aggregator: 'first' }];
    }),
  );
  return AggregatorRegistry.aggregate(readable).metrics();
}

const isName = (value: unknown): value is string =>
  typeof value === 'string' && /^[a-zA-Z_:][\w:]*$/.test(value);

const isType = (value: unknown): value is string =>
  value === 'counter' || value === 'gauge' || value === 'histogram' || value === 'summary';

function isSample(value: unknown): boolean {
  if (!isJsonObject(value)) return false;
  const { metricName, value: sample, labels } = value;
  return (
    typeof sample === 'number' &&
    (metricName === undefined || isName(metricName)) &&
    isJsonObject(labels) &&
    Object.entries(labels).every(
      ([name, label]) =>
        /^[a-zA-Z_]\w*$/.test(name) && (typeof label === 'string' || typeof label === 'number'),
    )
  );
}
