import { decodeEntry, encodeEntry } from '@millrace/shared/domain/entry';
import { newRequestId } from '@millrace/shared/domain/request';
import type { JobData } from '@millrace/shared/domain/request';
import type { Sealed } from '@millrace/shared/domain/seal';
import { createMemoryLog } from '@millrace/shared/store/stream-log/memory-log';
import type { Submit } from '@millrace/shared/store/submit/port';
import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import type { AppendItem, StreamLog } from '@millrace/shared/store/stream-log/port';
import type { ActivationOutcome } from '@millrace/shared/store/queue/port';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createAppender } from './appender.ts';
import { turn } from './appender-steps.ts';
import type { Attempt } from './attempt.ts';
import { unlimited } from '../quota/settlement.fixture.ts';
import { fault } from '../continuation/history.fixture.ts';
import { uncounted } from '../observe/metrics.fixture.ts';
import { run } from './run.ts';
import type { CallOptions, RunDeps, StopReason } from './port.ts';
import { openTargets } from '../upstream/target-access.fixture.ts';

const target = { provider: 'p', model: 'm' };

let log: StreamLog;
let submit: Submit;
let calls: CallOptions[];
let errors: unknown[];
let stop: (reason: StopReason) => void;

beforeEach(() => {
  ({ log, submit } = createMemoryLog());
  [calls, errors] = [[], []];
});

/** A request from long ago that no ingress reads at the moment. */
async function create(): Promise<{ id: string; data: JobData }> {
  const id = newRequestId(0, Date.now());
  const data: JobData = {
    model: 'm',
    endpoint: '/v1/chat/completions',
    stream: true,
    reader: 'plain',
    attached: true,
    targets: [target],
    createdAt: Date.now() - 60_000,
  };
  const meta = { id, keyId: undefined, includeUsage: false, ...data };
  await submit(newRequest(meta, { body: '{"messages":[]}', inbox: 'in' }));
  return { id, data };
}

function start(
  { id, data, sealed }: { id: string; data: JobData; sealed?: Sealed },
  more: Partial<RunDeps> = {},
): Promise<ActivationOutcome> {
  const deps: RunDeps = {
    log,
    appender: createAppender({ log, maxHeldBytes: 1e6, onError: (error) => errors.push(error) }),
    worker: 'w',
    metrics: uncounted,
    settlement: unlimited,
    hasLedger: false,
    maxHeldChars: 1e6,
    maxLogChars: 1e6,
    policy: () => undefined,
    routes: (targets) => targets.map((one) => ({ ...one, prefill: false })),
    openTargets,
    call,
    mayHedge: () => false,
    returnHedge() {},
    register(_, control) {
      ({ stop } = control);
      return () => {};
    },
    onError: (error) => errors.push(error),
    now: Date.now,
    random: () => 0,
    timesLate: () => 0,
    ...more,
  };
  const activation = { id, number: 1, data, token: 't', sealed };
  return run({ ...activation, lockLost: new AbortController().signal }, deps);
}

const cancelledLine = encodeEntry({ kind: 'cancelled', data: { reason: 'a test', at: 1 } });

/** An upstream that says nothing until it is stopped. */
function call(options: CallOptions): Attempt {
  calls.push(options);
  const stopped = Promise.withResolvers<{ kind: 'aborted' }>();
  options.signal.addEventListener('abort', () => stopped.resolve({ kind: 'aborted' }));
  return {
    outcome: stopped.promise,
    firstTokenAt: undefined,
    heldBytes: 0,
    pause() {},
    resume() {},
    stop() {},
  };
}

it('a request that nobody reads at this moment is begun all the same', async () => {
  const running = start(await create());
  await vi.waitFor(() => expect(calls).toHaveLength(1));
  stop('shutdown');
  expect(await running).toEqual({ kind: 'handed_back' });
});

it('a request that is cancelled keeps what its attempt is known to have cost, beside its log', async () => {
  const request = await create();
  const running = start(request);
  await vi.waitFor(() => expect(calls).toHaveLength(1));
  calls[0]?.sink.plain('{"choices":[{"index":0,"delta":{"content":"Hello"}}]}', 'Hello');
  await log.finish(request.id, cancelledLine, 'cancelled');
  stop('finished');
  expect(await running).toMatchObject({ kind: 'completed' });
  const { late = [] } = (await log.describe(request.id)) ?? {};
  expect(late.map(decodeEntry)).toMatchObject([
    {
      kind: 'attempt_end',
      data: {
        attempt: 1,
        outcome: 'cancelled',
        usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
        estimated: 'all',
      },
    },
  ]);
});

it('a request that its run has ended is settled so, though another component takes the end for one from outside', async () => {
  const request = await create();
  const own = log;
  log = {
    ...own,
    async append(shard, items) {
      const outcomes = await own.append(shard, items);
      if (!items.some(({ terminal }) => terminal)) return outcomes;
      stop('finished');
      return outcomes.map(() => 'job_ended');
    },
  };
  const settled: unknown[] = [];
  const outcome = await start(request, {
    settlement: { ...unlimited, settle: (_, tokens) => settled.push(tokens) },
    call: (options) => ({
      ...call(options),
      outcome: Promise.resolve({ kind: 'fault', fault: fault('upstream_rejected') }),
    }),
  });
  expect(outcome).toMatchObject({ kind: 'failed', jobEnded: true });
  // Nothing was answered: an end from outside would have its prompt paid for.
  expect(settled).toEqual([0]);
});

it('a request of which Redis lost lines is handed back, and its call is closed', async () => {
  const appends: AppendItem[] = [];
  log = {
    ...log,
    async append(_shard, items) {
      appends.push(...items);
      return items.map(() => 'lost');
    },
  };
  expect(await start(await create())).toEqual({ kind: 'handed_back' });
  // The seal alone is in the log, as far as the run knows.
  expect(appends[0]).toMatchObject({ entries: 1 });
  expect(calls.map(({ signal }) => signal.aborted)).not.toContain(false);
  expect(errors).toMatchObject([{ message: expect.stringContaining('Redis lost lines of req_') }]);
});

it('a request that goes back to the queue leaves no line, and nothing is settled', async () => {
  const request = await create();
  const told: string[] = [];
  const outcome = await start(request, {
    openTargets: (asked) => ({
      ...openTargets(asked),
      candidates: () => ({ open: [], shut: asked.routes }),
      wait: async () => ({ kind: 'not_yet' }),
    }),
    settlement: {
      begin: () => told.push('begin'),
      settle: () => told.push('settle'),
      forget: () => told.push('leave'),
    },
    metrics: { ...uncounted, runEnded: (kind) => told.push(kind) },
  });
  expect(outcome).toEqual({ kind: 'not_yet' });
  expect(told).toEqual(['begin', 'leave', 'not_yet']);
  expect(await log.describe(request.id)).toMatchObject({ last: { run: 0, seq: 0 } });
  expect(await log.read(request.id, { run: 0, seq: 0 }, 10)).toMatchObject({ lines: [] });
  // The next run has it as new.
  const again = start(request);
  await vi.waitFor(() => expect(calls).toHaveLength(1));
  stop('shutdown');
  expect(await again).toEqual({ kind: 'handed_back' });
});

describe('while Redis refuses for now', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** The method throws what Redis says, so many times. */
  function refuse(method: 'seal' | 'read', error: string, times: number): () => number {
    let asked = 0;
    const work = log[method] as (...args: unknown[]) => Promise<never>;
    log = {
      ...log,
      [method]: async (...args: unknown[]) => {
        asked += 1;
        if (asked <= times) throw new Error(error);
        return work(...args);
      },
    };
    return () => asked;
  }

  const passing = [
    "READONLY You can't write against a read only replica.",
    'LOADING Redis is loading the dataset in memory',
    'CLUSTERDOWN The cluster is down',
    "OOM command not allowed when used memory > 'maxmemory'.",
  ];

  it.each(passing)('the log is taken over when it takes it: %s', async (error) => {
    refuse('seal', error, 3);
    const running = start(await create());
    await vi.advanceTimersByTimeAsync(1000);
    await turn();
    expect(calls).toHaveLength(1);
    stop('shutdown');
    await vi.advanceTimersByTimeAsync(100);
    expect(await running).toEqual({ kind: 'handed_back' });
  });

  /** Its first run was shown something before its worker died. */
  async function createStarted() {
    const request = await create();
    const claim = { activation: 0, nonce: 'other', worker: 'dead' };
    const sealed = await log.seal(request.id, claim);
    if (sealed.kind !== 'sealed') throw new Error(sealed.kind);
    const { run, last: start } = sealed;
    // More packs than a seal tells of: the rest is read.
    for (const [i, word] of ['once', ' upon', ' a'].entries()) {
      const lines = [`c{"id":"first","choices":[{"index":0,"delta":{"content":"${word}"}}]}`];
      const prev = i === 0 ? start : { run, seq: i };
      const last = { run, seq: i + 1 };
      const entries = sealed.entries + i;
      await log.append(0, [{ id: request.id, nonce: 'other', prev, entries, last, lines }]);
    }
    return request;
  }

  it('the log is read when it can be read', async () => {
    const request = await createStarted();
    refuse('read', passing[0] ?? '', 3);
    const running = start(request);
    await vi.advanceTimersByTimeAsync(1000);
    await turn();
    expect(calls).toMatchObject([{ identity: { id: 'first' } }]);
    stop('shutdown');
    await vi.advanceTimersByTimeAsync(100);
    expect(await running).toEqual({ kind: 'handed_back' });
  });

  it.each(['seal', 'read'] as const)('the job is handed back in the end: %s', async (method) => {
    const request = await createStarted();
    const asked = refuse(method, passing[0] ?? '', Infinity);
    const running = start(request);
    await vi.advanceTimersByTimeAsync(11_000);
    expect(await running).toEqual({ kind: 'handed_back' });
    expect(asked()).toBeGreaterThan(10);
    expect(errors).toHaveLength(1);
    expect(calls).toEqual([]);
  });

  it('the job is handed back at once when the worker shuts down', async () => {
    const asked = refuse('seal', passing[0] ?? '', Infinity);
    const running = start(await create());
    await vi.advanceTimersByTimeAsync(200);
    stop('shutdown');
    await vi.advanceTimersByTimeAsync(100);
    expect(await running).toEqual({ kind: 'handed_back' });
    expect(asked()).toBeLessThan(10);
  });

  it('anything else that Redis says is thrown as it comes', async () => {
    refuse('seal', 'WRONGTYPE Operation against a key holding the wrong kind of value', 1);
    await expect(start(await create())).rejects.toThrow('WRONGTYPE');
  });
});

it('that waited long for its target has its first attempt in the log before it asks', async () => {
  const written = Promise.withResolvers<void>();
  const slow: Pick<StreamLog, 'append'> = {
    async append(shard, items) {
      await written.promise;
      return log.append(shard, items);
    },
  };
  let at = Date.now();
  let isOpen = false;
  const ended = start(await create(), {
    appender: createAppender({ log: slow, maxHeldBytes: 1e6, onError: (one) => errors.push(one) }),
    openTargets: (request) => ({
      ...openTargets(request),
      candidates: () => ({
        open: isOpen ? request.routes : [],
        shut: isOpen ? [] : request.routes,
      }),
      wait: () => {
        isOpen = true;
        at += 5000;
        return Promise.resolve({ kind: 'retry', open: request.routes });
      },
    }),
    now: () => at,
  });
  await vi.waitFor(() => expect(isOpen).toBe(true));
  for (let i = 0; i < 10; i++) await turn();
  expect(calls).toEqual([]);
  written.resolve();
  await vi.waitFor(() => expect(calls).toHaveLength(1));
  stop('finished');
  await ended;
});

describe('a log that was sealed as its job was taken', () => {
  const worker = 'w';

  async function sealed(at: number) {
    const request = await create();
    const claim = { activation: 1, nonce: 'mine', worker };
    const outcome = await log.seal(request.id, claim);
    const seal = vi.spyOn(log, 'seal');
    return { ...request, seal, claim, sealed: { claim, outcome, at } };
  }

  it('is not sealed again, and takes the lines of its run', async () => {
    const request = await sealed(Date.now());
    const running = start(request);
    await vi.waitFor(() => expect(calls).toHaveLength(1));
    expect(request.seal).not.toHaveBeenCalled();
    expect(calls[0]?.body).toBe('{"messages":[]}');
    const read = () => log.read(request.id, { run: 0, seq: 0 }, 1000);
    await vi.waitFor(async () =>
      expect(await read()).toMatchObject({ lines: [{ run: 1, seq: 1 }] }),
    );
    stop('shutdown');
    await running;
  });

  it('is asked for again with the same claim when that was a while ago', async () => {
    const request = await sealed(Date.now() - 1000);
    const running = start(request);
    await vi.waitFor(() => expect(calls).toHaveLength(1));
    expect(request.seal).toHaveBeenCalledWith(request.id, request.claim);
    stop('shutdown');
    await running;
  });

  it('makes no call when another run has taken it over since', async () => {
    const request = await sealed(Date.now() - 1000);
    await log.seal(request.id, { activation: 2, nonce: 'other', worker: 'other' });
    expect(await start(request)).toEqual({ kind: 'dropped' });
    expect(calls).toEqual([]);
  });

  it('ends its job as its end says', async () => {
    const request = await sealed(Date.now());
    const ended = { ...request.sealed, outcome: { kind: 'ended', by: 'done' } } as const;
    const outcome = await start({ ...request, sealed: ended });
    expect(outcome).toEqual({ kind: 'completed', summary: 'had ended already' });
    expect(calls).toEqual([]);
  });
});
