import { startTelemetry } from '@millrace/shared/telemetry/start';
import type { TelemetryOptions } from '@millrace/shared/telemetry/start';
import type { SpanRecord, Telemetry } from '@millrace/shared/telemetry/port';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startCollector } from '../kit/collector.ts';
import type { Collector } from '../kit/collector.ts';

// What one process sends to a collector, without a fleet.

let collector: Collector;
beforeEach(async () => {
  collector = await startCollector();
});
afterEach(async () => {
  await collector.close();
});

const traceId = '0af7651916cd43dd8448eb211c80319c';

const span = (more: Partial<SpanRecord> = {}): SpanRecord => ({
  traceId,
  spanId: 'b7ad6b7169203331',
  name: 's',
  kind: 'internal',
  startedAt: 1000,
  endedAt: 2000,
  attributes: {},
  ...more,
});

let logged: string[];

async function started(env: Record<string, string> = {}, isNamed = true): Promise<Telemetry> {
  const settings = { otlp: collector.url, sample: 1, propagate: false, trustClients: true };
  const config = isNamed ? { telemetry: settings } : {};
  logged = [];
  const note = (_: unknown, text: string) => void logged.push(text);
  const logger = { info: note, warn: note } as unknown as TelemetryOptions['logger'];
  const telemetry = await startTelemetry({ config, env, role: 'worker', name: 'w', logger });
  if (!telemetry) throw new Error('telemetry did not start');
  return telemetry;
}

test('texts in names and attributes are cut, so that the bound of queued spans is one of their size', async () => {
  const telemetry = await started();
  const long = 'x'.repeat(100_000);
  const attributes = { long, reasons: Array.from({ length: 100 }, () => long), short: 'short' };
  telemetry.record(
    span({
      name: long,
      attributes,
      events: [{ name: 'e', at: 1500, attributes }],
      links: [{ spanId: 'b7ad6b7169203332', attributes }],
    }),
  );
  telemetry.measure({ 'gen_ai.client.inference.usage.input_tokens': 1 }, attributes);
  await telemetry.close(10_000);

  const [sent] = collector.spans;
  const kept = { long: 'x'.repeat(256), reasons: Array(8).fill('x'.repeat(256)), short: 'short' };
  expect(sent).toMatchObject({
    name: kept.long,
    attributes: kept,
    events: [{ attributes: kept }],
    links: [{ attributes: kept }],
  });
  expect(collector.points.map((point) => point.attributes)).toEqual([kept]);
});

test('a text is not cut within a character', async () => {
  const telemetry = await started();
  telemetry.record(span({ attributes: { text: `${'x'.repeat(255)}\u{1F600}` } }));
  await telemetry.close(10_000);
  expect(collector.spans[0]?.attributes['text']).toBe(`${'x'.repeat(255)}\u{FFFD}`);
});

test('a backend that takes only traces is one line in the log', async () => {
  await collector.close();
  collector = await startCollector({ takesMetrics: false });
  const telemetry = await started({ OTEL_METRIC_EXPORT_INTERVAL: '50' });
  for (let sent = 1; sent <= 2; sent++) {
    const refused = collector.refused();
    telemetry.measure({ 'gen_ai.client.inference.duration': 1 }, {});
    telemetry.record(span());
    await expect.poll(() => collector.spans.length, { timeout: 20_000 }).toBe(sent);
    await expect.poll(collector.refused, { timeout: 20_000 }).toBeGreaterThan(refused);
  }
  await telemetry.close(10_000);
  expect(logged).toEqual(['the OpenTelemetry collector does not take metrics']);
});

test.each([
  ['the endpoint of traces alone is named', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', {}],
  [
    'an empty variable names no collector for both',
    'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    { OTEL_EXPORTER_OTLP_ENDPOINT: '' },
  ],
  [
    'OpenTelemetry is told to export none',
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    { OTEL_METRICS_EXPORTER: 'none' },
  ],
])('no metrics are sent if %s', async (_, name, more) => {
  const path = name.includes('TRACES') ? '/v1/traces' : '';
  const env: Record<string, string> = { [name]: `${collector.url}${path}`, ...more };
  // The exporters read them themselves.
  Object.assign(process.env, env);
  try {
    const telemetry = await started(env, false);
    telemetry.measure({ 'gen_ai.client.inference.duration': 1 }, {});
    telemetry.record(span());
    await telemetry.close(10_000);
  } finally {
    for (const each of Object.keys(env)) Reflect.deleteProperty(process.env, each);
  }
  expect(collector.spans).toHaveLength(1);
  expect(collector.points).toEqual([]);
  expect(logged).toEqual([]);
});

test.each(['-5', '0', 'x', '1.5', '1e99'])(
  'an interval of metrics that is not valid, as %s, counts as none',
  async (interval) => {
    const telemetry = await started({ OTEL_METRIC_EXPORT_INTERVAL: interval });
    telemetry.record(span());
    await telemetry.close(10_000);
    expect(collector.spans).toHaveLength(1);
  },
);
