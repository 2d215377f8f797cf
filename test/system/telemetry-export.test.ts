import { startTelemetry } from '@millrace/shared/telemetry/start';
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

async function started(): Promise<Telemetry> {
  const config = { telemetry: { otlp: collector.url, sample: 1, propagate: false } };
  const logger = { info() {}, warn() {} };
  const telemetry = await startTelemetry({ config, env: {}, role: 'worker', name: 'w', logger });
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
