import { randomBytes } from 'node:crypto';
import { startTelemetry } from '@millrace/shared/telemetry/start';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, requestId } from '../kit/client.ts';
import { startCollector } from '../kit/collector.ts';
import type { Collector, SeenSpan } from '../kit/collector.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { chunks, expectWhole } from '../kit/judge.ts';
import { slowAnswer } from '../kit/takeover.ts';

// What a collector gets of requests that pass real processes.

const brief = 'healthy:tokens=10';
const slow = slowAnswer(300, 100);
let collector: Collector;
let fleet: Fleet;
beforeAll(async () => {
  collector = await startCollector();
  fleet = await startFleet({
    models: {
      brief,
      slow: slow.models.pair,
      cut: {
        targets: [
          { provider: 'primary', model: 'cut:after=40' },
          { provider: 'backup', model: 'prefill', prefill: true },
        ],
      },
      broken: { targets: [{ provider: 'primary', model: 'status:code=400' }] },
    },
    // Only what a client's traceparent asks for.
    config: { telemetry: { otlp: collector.url, sample: 0 } },
  });
});
afterAll(async () => {
  await fleet?.close();
  await collector?.close();
});

const hex = (bytes: number): string => randomBytes(bytes).toString('hex');

/** The headers of a client that traces its request. */
function traced(flags = '01') {
  const [traceId, spanId] = [hex(16), hex(8)];
  const traceparent = `00-${traceId}-${spanId}-${flags}`;
  return { traceId, spanId, headers: { traceparent, tracestate: 'vendor=value' } };
}

const spansOf = (traceId: string) => collector.spans.filter((span) => span.traceId === traceId);

/** The spans of a trace, by start, once there are so many. */
async function collected(traceId: string, count: number): Promise<SeenSpan[]> {
  await expect.poll(() => spansOf(traceId).map(({ name }) => name)).toHaveLength(count);
  return spansOf(traceId).toSorted((a, b) => a.start - b.start);
}

const one = (spans: readonly SeenSpan[], name: string): SeenSpan => {
  const found = spans.filter((span) => span.name === name);
  expect(found.map((span) => span.name)).toEqual([name]);
  return found[0] as SeenSpan;
};

test('a request is one trace across its ingress, the queue and its worker, below the span of its client', async () => {
  const before = new Set(collector.spans.map(({ traceId }) => traceId));
  const unsampled = traced('00');
  await ask(fleet.url, 'brief', { headers: unsampled.headers }).ended;
  await ask(fleet.url, 'brief').ended;

  const { traceId, spanId, headers } = traced();
  const stream = ask(fleet.url, 'brief', { headers, body: { user: 'traced' } });
  await expectWhole(stream, expectedText({ tokens: 10 }));

  const spans = await collected(traceId, 4);
  const request = one(spans, 'POST /v1/chat/completions');
  const run = one(spans, 'run');
  const attempt = one(spans, `chat ${brief}`);
  const queue = one(spans, 'queue wait');
  expect(spans.map((span) => span.parentSpanId)).toEqual(
    expect.arrayContaining([spanId, request.spanId, request.spanId, run.spanId]),
  );
  expect(request).toMatchObject({ kind: 2, parentSpanId: spanId, traceState: 'vendor=value' });
  expect(queue).toMatchObject({ kind: 1, parentSpanId: request.spanId });
  expect(run).toMatchObject({ kind: 1, parentSpanId: request.spanId });
  expect(attempt).toMatchObject({ kind: 3, parentSpanId: run.spanId, events: [], links: [] });
  expect(new Set(spans.map(({ isError }) => isError))).toEqual(new Set([false]));
  expect(request.resource).toMatchObject({
    'service.name': 'millrace',
    'service.instance.id': expect.stringMatching(/^ingress-/),
  });
  expect(attempt.resource).toMatchObject({ 'millrace.role': 'worker' });
  // Nothing of the requests that no client asked to trace.
  const others = collector.spans.filter((span) => span.traceId !== traceId);
  expect(others.filter((span) => !before.has(span.traceId))).toEqual([]);
  expect(spansOf(unsampled.traceId)).toEqual([]);
});

test('its spans have the attributes of the GenAI and HTTP conventions, and no text', async () => {
  const { traceId, headers } = traced();
  const stream = ask(fleet.url, 'brief', { headers, body: { user: 'attributes' } });
  await stream.ended;

  const spans = await collected(traceId, 4);
  const id = await requestId(stream);
  const address = new URL(fleet.primary.url);
  expect(one(spans, `chat ${brief}`).attributes).toEqual({
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'openai',
    'gen_ai.request.model': brief,
    'gen_ai.request.stream': true,
    'gen_ai.response.id': expect.any(String),
    'gen_ai.response.model': expect.any(String),
    'gen_ai.response.finish_reasons': ['stop'],
    'gen_ai.response.time_to_first_chunk': expect.any(Number),
    'gen_ai.usage.input_tokens': expect.any(Number),
    'gen_ai.usage.output_tokens': 10,
    'server.address': address.hostname,
    'server.port': Number(address.port),
    'millrace.request.id': id,
    'millrace.attempt': 1,
    'millrace.attempt.mode': 'start',
    'millrace.attempt.outcome': 'completed',
    'millrace.provider': 'primary',
  });
  expect(one(spans, 'POST /v1/chat/completions').attributes).toEqual({
    'http.request.method': 'POST',
    'http.route': '/v1/chat/completions',
    'http.response.status_code': 200,
    'url.path': '/v1/chat/completions',
    'url.scheme': 'http',
    'millrace.request.id': id,
    'millrace.model': 'brief',
    'millrace.outcome': 'completed',
    'millrace.attempts': 1,
  });
  expect(one(spans, 'run').attributes).toMatchObject({
    'millrace.request.id': id,
    'millrace.run': 1,
    'millrace.outcome': 'completed',
  });
  // The provider has the client's own header, and nothing of this fleet.
  const asked = fleet.primary.requests.find(({ rawBody }) => rawBody.includes('"attributes"'));
  expect(asked?.headers).toMatchObject({ traceparent: headers.traceparent });
  expect(asked?.headers).not.toHaveProperty('tracestate');
  expect(JSON.stringify(spans)).not.toContain('hello');
});

test('a rescue is two attempts, of which the second has a seam and names the first', async () => {
  const { traceId, headers } = traced();
  await expectWhole(ask(fleet.url, 'cut', { headers }), expectedText({ tokens: 60 }));

  const spans = await collected(traceId, 5);
  const run = one(spans, 'run');
  const failed = one(spans, 'chat cut:after=40');
  const rescue = one(spans, 'chat prefill');
  expect(failed).toMatchObject({ parentSpanId: run.spanId, isError: true, events: [] });
  expect(failed.attributes).toMatchObject({
    'error.type': 'upstream_reset',
    'gen_ai.response.finish_reasons': ['error'],
  });
  expect(rescue).toMatchObject({ parentSpanId: run.spanId, isError: false });
  expect(rescue.links).toEqual([
    {
      spanId: failed.spanId,
      attributes: {
        'millrace.seam.strategy': 'continue',
        'millrace.seam.offset': expect.any(Number),
      },
    },
  ]);
  expect(rescue.events.map(({ name }) => name)).toEqual(['millrace.seam']);
  expect(rescue.attributes['gen_ai.response.finish_reasons']).toEqual(['stop']);
  expect(run.attributes).toMatchObject({ 'millrace.rescues': 1 });
});

test('a request that fails tells why in each of its spans', async () => {
  const { traceId, headers } = traced();
  await ask(fleet.url, 'broken', { headers }).ended;

  const spans = await collected(traceId, 4);
  const attempt = one(spans, 'chat status:code=400');
  const request = one(spans, 'POST /v1/chat/completions');
  expect(attempt.isError).toBe(true);
  expect(attempt.attributes['error.type']).toEqual(expect.any(String));
  expect(one(spans, 'run')).toMatchObject({ isError: true });
  expect(request.attributes).toMatchObject({
    'millrace.outcome': 'failed',
    'error.type': expect.any(String),
  });
});

test('a job is traced below the call that created it', async () => {
  const { traceId, spanId, headers } = traced();
  const response = await fetch(`${fleet.url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({
      body: { model: 'brief', messages: [{ role: 'user', content: 'hello' }] },
    }),
  });
  expect(response.status).toBe(202);

  const spans = await collected(traceId, 4);
  const created = one(spans, 'POST /v1/jobs');
  expect(created.parentSpanId).toBe(spanId);
  expect(one(spans, 'run').parentSpanId).toBe(created.spanId);
  expect(one(spans, `chat ${brief}`).attributes).toMatchObject({
    'gen_ai.request.stream': false,
    'gen_ai.response.id': expect.any(String),
    'gen_ai.response.finish_reasons': ['stop'],
  });
});

test('a worker that is killed leaves one trace, in which the next run follows the lost one', async () => {
  const { traceId, headers } = traced();
  const stream = ask(fleet.url, 'slow', { headers, keepText: false });
  await stream.until(chunks(5));
  await fleet.addWorker();
  await fleet.workers[0]?.stop('SIGKILL');
  fleet.workers.shift();
  fleet.hurry();
  await stream.ended;

  const spans = await collected(traceId, 6);
  const request = one(spans, 'POST /v1/chat/completions');
  const runs = spans.filter(({ name }) => name === 'run');
  expect(runs.map(({ parentSpanId }) => parentSpanId)).toEqual([request.spanId, request.spanId]);
  const [lost, next] = runs as [SeenSpan, SeenSpan];
  expect(lost).toMatchObject({ isError: true, attributes: { 'millrace.run': 1 } });
  expect(next).toMatchObject({ isError: false, attributes: { 'millrace.run': 2 } });
  expect(next.start).toBeGreaterThan(lost.start);
  const attempts = spans.filter(({ kind }) => kind === 3);
  expect(attempts.map(({ parentSpanId }) => parentSpanId)).toEqual([lost.spanId, next.spanId]);
  expect(attempts.map(({ attributes }) => attributes['error.type'])).toEqual([
    'worker_lost',
    undefined,
  ]);
  expect(attempts[1]?.links.map(({ spanId }) => spanId)).toEqual([attempts[0]?.spanId]);
  expect(one(spans, 'queue wait').end).toBeLessThanOrEqual(attempts[0]?.start ?? 0);
});

test('a collector that is away costs requests nothing, is logged once, and gets what comes later', async () => {
  await collector.pause();
  for (let i = 0; i < 5; i++) {
    const stream = ask(fleet.url, 'brief', { headers: traced().headers });
    await expectWhole(stream, expectedText({ tokens: 10 }));
  }
  const away = () =>
    fleet.workers.flatMap(({ stderr }) => stderr().match(/collector does not take traces/g) ?? []);
  await expect.poll(away, { timeout: 40_000 }).toHaveLength(1);
  await ask(fleet.url, 'brief', { headers: traced().headers }).ended;

  await collector.resume();

  const { traceId, headers } = traced();
  await ask(fleet.url, 'brief', { headers }).ended;
  await expect.poll(() => spansOf(traceId).length, { timeout: 40_000 }).toBe(4);
  expect(away()).toHaveLength(1);
}, 120_000);

test('the variables of OpenTelemetry name a collector and a service, or turn everything off', async () => {
  const logger = { info() {}, warn() {} };
  const options = { config: {}, role: 'worker' as const, name: 'w', logger };
  expect(await startTelemetry({ ...options, env: {} })).toBeUndefined();
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SERVICE_NAME: 'gateway' };
  const disabled = { ...env, OTEL_SDK_DISABLED: 'true' };
  expect(await startTelemetry({ ...options, env: disabled })).toBeUndefined();
  const { traceId } = traced();
  // The exporters read them themselves.
  Object.assign(process.env, env);
  try {
    const telemetry = await startTelemetry({ ...options, env });
    expect(telemetry).toMatchObject({ sample: 1, propagate: false, trustClients: true });
    const span = { traceId, spanId: hex(8), name: 's', kind: 'internal' as const, attributes: {} };
    telemetry?.record({ ...span, startedAt: Date.now(), endedAt: Date.now() });
    await telemetry?.close(10_000);
  } finally {
    for (const name of Object.keys(env)) Reflect.deleteProperty(process.env, name);
  }
  expect(spansOf(traceId)).toMatchObject([{ name: 's', resource: { 'service.name': 'gateway' } }]);
});

test('a process that stops sends what it has: its last spans, and its metrics', async () => {
  const [worker] = fleet.workers.splice(0);
  const { traceId, headers } = traced();
  await ask(fleet.url, 'brief', { headers }).ended;
  // Metrics are sent every minute otherwise.
  expect(await worker?.stop('SIGTERM')).toBe(0);

  expect(spansOf(traceId).map(({ name }) => name)).toEqual(
    expect.arrayContaining(['queue wait', 'run', `chat ${brief}`]),
  );
  for (const name of ['duration', 'time_to_first_chunk', 'usage.input_tokens']) {
    expect(collector.metrics.get(`gen_ai.client.inference.${name}`)).toBeGreaterThan(0);
  }
});
