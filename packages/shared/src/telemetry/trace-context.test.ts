import { describe, expect, test } from 'vitest';
import { beginTrace, readTraceparent, spanIdOf, traceparentOf } from './trace-context.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';
const valid = `00-${traceId}-${spanId}-01`;

describe('a traceparent', () => {
  test('is read, with its decision to sample, and written', () => {
    expect(readTraceparent(valid)).toEqual({ traceId, spanId, isSampled: true });
    expect(readTraceparent(`00-${traceId}-${spanId}-00`)?.isSampled).toBe(false);
    // Other flags do not decide it.
    expect(readTraceparent(`00-${traceId}-${spanId}-02`)?.isSampled).toBe(false);
    expect(readTraceparent(`00-${traceId}-${spanId}-03`)?.isSampled).toBe(true);
    expect(traceparentOf({ traceId, spanId })).toBe(valid);
  });

  test('of a later version may have more fields', () => {
    expect(readTraceparent(`01-${traceId}-${spanId}-01-more`)).toMatchObject({ traceId });
  });

  test.each([
    undefined,
    '',
    'x',
    ['00'],
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}-1`,
    ` ${valid}`,
    `${valid}\n`,
  ])('that is not valid counts as none: %j', (text) => {
    expect(readTraceparent(text)).toBeUndefined();
  });
});

describe('the trace of a request', () => {
  const never = 0;
  const always = 1;

  test('is that of its client, who decides whether it is sampled', () => {
    const headers = { traceparent: valid, tracestate: 'a=b' };
    const context = beginTrace(headers, never);
    expect(context).toEqual({
      traceId,
      parentSpanId: spanId,
      state: 'a=b',
      spanId: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
    const unsampled = { traceparent: `00-${traceId}-${spanId}-00` };
    expect(beginTrace(unsampled, always)).toBeUndefined();
  });

  test('begins here without a valid traceparent, for a share of the requests', () => {
    expect(beginTrace({ traceparent: 'x', tracestate: 'a=b' }, 0.1, () => 0.09)).toEqual({
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
      spanId: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
    expect(beginTrace({}, 0.1, () => 0.1)).toBeUndefined();
    expect(beginTrace({}, always, () => 0.999)).toBeDefined();
    expect(beginTrace({}, never, () => 0)).toBeUndefined();
  });

  test('keeps a tracestate up to the length that every participant has to pass on', () => {
    const kept = (tracestate: unknown) => beginTrace({ traceparent: valid, tracestate }, 1)?.state;
    expect(kept('x'.repeat(512))).toHaveLength(512);
    expect(kept('x'.repeat(513))).toBeUndefined();
    expect(kept('')).toBeUndefined();
  });
});

test('a span has the same id in every process, and another one for each part of each request', () => {
  expect(spanIdOf('req_1', 'run 1')).toBe(spanIdOf('req_1', 'run 1'));
  expect(spanIdOf('req_1', 'run 1')).toMatch(/^[0-9a-f]{16}$/);
  const ids = ['run 1', 'run 2', 'attempt 1'].flatMap((part) =>
    ['req_1', 'req_2'].map((id) => spanIdOf(id, part)),
  );
  expect(new Set(ids).size).toBe(6);
});
