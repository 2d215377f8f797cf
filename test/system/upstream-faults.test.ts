import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chat, complete, stream } from '../kit/api.ts';
import { contentOf, eventsOf, isTerminated } from '../kit/events.ts';
import type { SseEvent } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { errorOf, jsonOf } from '../kit/http.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

// One target only, and a fault that stays: nothing can hide it, so it has to be told well.

type Fault = [model: string, status: number, code: string | null];

/** Told with a status, as nothing of the answer has been shown yet. */
const beforeAnything: Fault[] = [
  ['status:code=400', 400, null],
  ['status:code=401', 502, 'upstream_auth_failed'],
  ['status:code=403', 502, 'upstream_auth_failed'],
  ['status:code=404', 502, 'upstream_model_not_found'],
  ['status:code=422', 422, null],
  ['status:code=429,retryAfterMs=20', 429, 'rate_limit_exceeded'],
  ['status:code=500', 500, null],
  ['status:code=503', 503, 'overloaded'],
  ['status:code=529', 529, null],
  ['status:code=400,body=html', 400, 'upstream_rejected'],
  ['status:code=502,body=html', 502, 'upstream_server_error'],
  ['status:code=503,body=empty', 503, 'upstream_overloaded'],
  ['status:code=302', 502, null],
  ['s12', 400, 'context_length_exceeded'],
  ['s13', 400, 'content_filter'],
  ['html-200', 502, 'upstream_invalid_response'],
  ['json-error-200', 502, null],
  ['empty-200', 502, 'upstream_invalid_response'],
];

/** Asked for before any other: a reset of a connection that was used before has another code. */
const first: Fault[] = [['reset-before-headers', 502, 'upstream_reset']];

const onlyStreaming: Fault[] = [
  ['silent', 504, 'upstream_first_token_timeout'],
  ['role-only', 502, 'upstream_truncated'],
  ['role-only:done=0', 502, 'upstream_truncated'],
  ['stall-with-comments:every=20', 504, 'upstream_first_token_timeout'],
  ['stall-with-comments:every=20,role=1', 504, 'upstream_first_token_timeout'],
  ['error-first-event', 502, null],
  ['error-first-event:done=1', 502, null],
  ['error-event:after=0', 502, null],
  ['error-in-chunk:after=0', 502, null],
  ['damaged-event:after=0', 502, 'upstream_invalid_response'],
  ['cut:after=0', 502, 'upstream_reset'],
  ['cut:after=0,role=1', 502, 'upstream_reset'],
  ['cut:after=0,byte=30', 502, 'upstream_reset'],
  ['end-without-finish:after=0', 502, 'upstream_invalid_response'],
];

/** Told as the last event, behind a true beginning of the answer. */
const inTheMiddle: [model: string, tokens: number][] = [
  ['cut', 40],
  ['cut:after=1', 1],
  ['cut:after=40,how=reset', 40],
  ['cut:after=59', 59],
  ['cut:after=60', 60],
  ['cut:after=10,byte=25', 10],
  ['stall:after=20', 20],
  ['stall:after=20,silence=50', 20],
  ['stall-with-comments:after=7,every=20', 7],
  ['end-without-finish:after=40', 40],
  ['end-without-finish:after=40,done=1', 40],
  ['end-without-finish:after=60,done=1', 60],
  ['s10', 9],
  ['unreadable-event:after=5', 5],
  ['damaged-event', 20],
  ['damaged-event:after=12', 12],
  ['error-event:after=12', 12],
  ['error-event:after=12,done=1', 12],
  ['error-in-chunk:after=12', 12],
  ['error-in-chunk:after=12,done=0,code=429', 12],
];

/** Faults that take nothing from the answer. */
const harmless = [
  's11',
  'malformed-event:after=3',
  'no-terminator:linger=60000',
  'no-terminator:usage=never,linger=60000',
  'reset-after-finish',
  'reset-after-finish:how=close',
  'slow-headers:headers=200',
  'healthy:comments=1',
];

/** Told to who asked for no stream. */
const onlyWhole: Fault[] = [
  ['silent', 504, 'upstream_timeout'],
  ['cut', 502, 'upstream_reset'],
  ['cut:how=reset', 502, 'upstream_reset'],
  ['error-event:after=12', 500, null],
];

// No hedge: there is one target, and a slow one would be waited for.
const patience = {
  firstTokenTimeout: '400ms',
  idleTimeout: '400ms',
  timeout: '5s',
  onSlowFirstToken: 'failover',
};
const named = (faults: Fault[]) => faults.map(([model]) => model);

// The tests of each group run side by side: most of their time they wait for a provider that is silent.

let fleet: Fleet;
beforeAll(async () => {
  const streamed = [
    ...named(first),
    ...named(beforeAnything),
    ...named(onlyStreaming),
    ...harmless,
  ];
  const models = [...streamed, ...inTheMiddle.map(([model]) => model), ...named(onlyWhole)];
  const target = (model: string) => [{ provider: 'primary', model }];
  fleet = await startFleet({
    models: {
      ...Object.fromEntries(
        models.map((model) => [model, { targets: target(model), ...patience }]),
      ),
      // A whole answer has the whole time.
      'silent whole': { targets: target('silent'), timeout: '400ms' },
      'late stream': { targets: target('healthy:pace=20'), timeout: '400ms' },
      unreachable: { targets: [{ provider: 'nobody', model: 'm' }] },
    },
    config: {
      providers: {
        nobody: {
          api: 'openai',
          baseUrl: 'http://127.0.0.1:1/v1',
          breaker: { enabled: false },
          check: { kind: 'off' },
        },
      },
    },
  });
});
afterAll(() => fleet.close());

/** The error that ends a stream; the stream must not look complete. */
function lastError(events: readonly SseEvent[]): { code: string | null; message: string } {
  expect(isTerminated(events)).toBe(false);
  const last = JSON.parse(events.at(-1)?.data ?? '{}') as { error?: never };
  expect(Object.keys(last)).toEqual(['error']);
  expect(events.filter(({ data }) => data.startsWith('{"error"'))).toHaveLength(1);
  expect(events.some(({ data }) => data.includes('"finish_reason":"'))).toBe(false);
  return last.error ?? { code: null, message: '' };
}

async function expectStreamRefused(...[model, status, code]: Fault) {
  const answer = await stream(fleet.url, model).ended;
  expect(answer.status).toBe(status);
  const { message, ...error } = errorOf(answer);
  expect(error).toMatchObject({ code, param: expect.toSatisfy(isNullOrText) });
  expect(message).not.toContain('<');
  expect(answer.headers['x-request-id']).toMatch(/^req_0_/);
}

async function expectWholeRefused(...[model, status, code]: Fault) {
  const answer = await complete(fleet.url, chat(model)).ended;
  expect(answer.status).toBe(status);
  expect(errorOf(answer).code).toBe(code);
  expect(errorOf(answer).message).not.toContain('<');
}

describe('a fault before anything was shown', () => {
  it.each(first)('%s: a stream answers with status %i and the error object', expectStreamRefused);
  it.each(first)(
    '%s: an answer without stream has status %i and the error object',
    expectWholeRefused,
  );

  it.concurrent.each([...beforeAnything, ...onlyStreaming])(
    '%s: a stream answers with status %i and the error object',
    expectStreamRefused,
  );
  it.concurrent.each(beforeAnything)(
    '%s: an answer without stream has status %i and the error object',
    expectWholeRefused,
  );

  it.concurrent.each(onlyWhole.filter(([model]) => model !== 'silent'))(
    '%s: without stream it comes before everything, with status %i',
    async (model, status, code) => {
      const answer = await complete(fleet.url, chat(model)).ended;
      expect(answer.status).toBe(status);
      expect(errorOf(answer).code).toBe(code);
    },
  );

  it('an answer without stream has its whole time, and then a 504', async () => {
    const answer = await complete(fleet.url, chat('silent whole')).ended;
    expect(answer.status).toBe(504);
    expect(errorOf(answer).code).toBe('upstream_timeout');
  });

  it.concurrent.each([true, false])(
    'a provider that is not there, with stream %s',
    async (isStream) => {
      const answer = await complete(fleet.url, chat('unreachable', { stream: isStream })).ended;
      expect(answer.status).toBe(502);
      expect(errorOf(answer)).toMatchObject({
        type: 'upstream_error',
        code: 'upstream_unreachable',
      });
    },
  );
});

const isNullOrText = (value: unknown) => value === null || typeof value === 'string';

describe('a fault in the middle of an answer', () => {
  it.concurrent.each(inTheMiddle)(
    '%s: ends with an error behind %i tokens',
    async (model, tokens) => {
      const answer = await stream(fleet.url, model).ended;
      expect(answer).toMatchObject({ status: 200, how: 'complete' });
      const events = eventsOf(answer.text);
      expect(lastError(events).code).toBe('upstream_failed_mid_stream');
      expect(contentOf(events)).toBe(expectedText({ tokens }));
    },
  );

  it('an answer that takes longer than its whole time', async () => {
    const events = eventsOf((await stream(fleet.url, 'late stream').ended).text);
    expect(lastError(events).code).toBe('upstream_failed_mid_stream');
    const text = contentOf(events);
    expect(text).not.toBe('');
    expect(expectedText({ tokens: 60 }).startsWith(text)).toBe(true);
  });
});

describe('a fault that takes nothing from the answer', () => {
  it.concurrent.each(harmless)('%s: is not seen', async (model) => {
    const body = chat(model, { stream: true, stream_options: { include_usage: true } });
    const answer = await complete(fleet.url, body).ended;
    const events = eventsOf(answer.text);
    expect(contentOf(events)).toBe(expectedText({ tokens: 60 }));
    expect(events.filter(({ data }) => data.includes('"finish_reason":"stop"'))).toHaveLength(1);
    expect(isTerminated(events)).toBe(true);
  });

  it('without [DONE] it ends soon all the same, with the usage', async () => {
    const model = 'no-terminator:linger=60000';
    const body = chat(model, { stream: true, stream_options: { include_usage: true } });
    // Its connection lingers for a minute.
    const start = Date.now();
    const events = eventsOf((await complete(fleet.url, body).ended).text);
    expect(Date.now() - start).toBeLessThan(30_000);
    expect(jsonOf({ text: events.at(-2)?.data ?? '' })).toMatchObject({
      choices: [],
      usage: { completion_tokens: 60 },
    });
  });
});

describe('afterwards', () => {
  it('no upstream call is left open, and both processes live', async () => {
    // Every fault above has been told. A response that lingers behind its answer has a moment more.
    const stillOpen = () =>
      fleet.primary.requests.filter(({ state }) => state === 'open').map(({ model }) => model);
    await expect.poll(stillOpen).toEqual([]);
    for (const { child } of [...fleet.ingresses, ...fleet.workers]) {
      expect(child.exitCode).toBe(null);
      expect(child.signalCode).toBe(null);
    }
  });
});
