import type { SpanRecord, Telemetry } from '@millrace/shared/telemetry/port';
import { readTraceparent } from '@millrace/shared/telemetry/trace-context';
import type { FastifyRequest } from 'fastify';
import { beforeEach, describe, expect, test } from 'vitest';
import { createTracing } from './tracing.ts';
import type { EndedRequest } from './tracing.ts';

let recorded: SpanRecord[];
let errors: unknown[];
beforeEach(() => {
  recorded = [];
  errors = [];
});

function tracing(
  sample: number,
  record = (span: SpanRecord) => void recorded.push(span),
  trustClients = true,
) {
  const clock = { now: 1000 };
  const telemetry: Telemetry = {
    sample,
    propagate: false,
    trustClients,
    record,
    measure() {},
    close: async () => {},
  };
  return {
    clock,
    ...createTracing(
      telemetry,
      (error) => errors.push(error),
      () => clock.now,
    ),
  };
}

const request = (headers: Record<string, string> = {}) =>
  ({
    method: 'POST',
    url: '/v1/chat/completions?key=secret',
    protocol: 'http',
    headers,
    routeOptions: { url: '/v1/chat/completions' },
  }) as unknown as FastifyRequest;

const ended = (more: Partial<EndedRequest> = {}): EndedRequest => ({
  id: 'req_1',
  status: 200,
  outcome: 'completed',
  key: 'team-a',
  model: 'm',
  ...more,
});

describe('the span of a request', () => {
  test('lasts from its arrival to its end, and its job has its context', () => {
    const { clock, beginHttp } = tracing(1);
    const span = beginHttp(request());
    clock.now = 1500;
    span?.end(ended({ attempts: 2 }));

    const [one] = recorded;
    expect(one).toMatchObject({ startedAt: 1000, endedAt: 1500, kind: 'server', isError: false });
    expect(readTraceparent(span?.trace.parent)).toEqual({
      traceId: one?.traceId,
      spanId: one?.spanId,
      isSampled: true,
    });
    expect(one?.attributes).toMatchObject({
      'millrace.key.id': 'team-a',
      'millrace.attempts': 2,
      // Without its query.
      'url.path': '/v1/chat/completions',
    });
  });

  test('that cannot be recorded is reported, and nothing is thrown', () => {
    const failure = new Error('a defect');
    const { beginHttp } = tracing(1, () => {
      throw failure;
    });
    beginHttp(request())?.end(ended());
    expect(errors).toEqual([failure]);
  });

  test('of a client that is not trusted begins a trace of its own, for the share of the config', () => {
    const [traceId, spanId] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];
    const asked = (sample: number, flags: string) =>
      tracing(sample, undefined, false).beginHttp(
        request({ traceparent: `00-${traceId}-${spanId}-${flags}`, tracestate: 'a=b' }),
      );
    expect(asked(0, '01')).toBeUndefined();
    asked(1, '00')?.end(ended());
    const [one] = recorded;
    expect(one?.traceId).not.toBe(traceId);
    expect(one).toMatchObject({ links: [{ traceId, spanId }] });
    expect([one?.parentSpanId, one?.state]).toEqual([undefined, undefined]);
  });

  test('is none of a request that is not sampled', () => {
    expect(tracing(0).beginHttp(request())).toBeUndefined();
    expect(tracing(0).beginFrame('/v1/ws')).toBeUndefined();
  });

  test.each([
    ['an answer', ended(), false, undefined],
    ['a client that left', ended({ status: 499, outcome: 'left' }), false, undefined],
    [
      "a client's error",
      ended({ status: 429, outcome: 'failed', code: 'rate_limited' }),
      false,
      'rate_limited',
    ],
    ["a server's error", ended({ status: 503, outcome: 'failed', code: null }), true, '503'],
    [
      'a stream that failed after its head',
      ended({ outcome: 'failed', code: 'upstream_failed_mid_stream' }),
      true,
      'upstream_failed_mid_stream',
    ],
  ])('of %s is an error only if the server failed', (_, about, isError, type) => {
    tracing(1).beginHttp(request())?.end(about);
    expect(recorded[0]?.isError).toBe(isError);
    expect(recorded[0]?.attributes['error.type']).toBe(type);
  });

  test('of a frame on a WebSocket begins a trace of its own', () => {
    const { beginFrame } = tracing(1);
    for (let i = 0; i < 2; i++) beginFrame('/v1/ws')?.end(ended());
    expect(recorded.map(({ name }) => name)).toEqual(['create /v1/ws', 'create /v1/ws']);
    expect(new Set(recorded.map(({ traceId }) => traceId)).size).toBe(2);
    expect(recorded.map(({ parentSpanId }) => parentSpanId)).toEqual([undefined, undefined]);
  });
});
