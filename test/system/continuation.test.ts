import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ask, createJob, eventsOf, getJob, requestId } from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { expectWhole, readPlain, readStory } from '../kit/judge.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { expectOneAnswer } from './shown.ts';

const cut = 'cut:after=40';

/** Alias → the backup's behaviour, whether the config says that it takes a prefill, and its last attempt. */
const backups = {
  replay: ['healthy', false],
  prefill: ['prefill', true],
  'refused-prefill': ['no-prefill', true],
  anchor: ['anchored:anchor=exact', false],
  preamble: ['anchored:anchor=preamble', false],
  quoted: ['anchored:anchor=quoted', false],
  curly: ['anchored:anchor=curly', false],
  spaces: ['anchored:anchor=spaces', false],
  drift: ['anchored:anchor=drift', false],
  none: ['anchored:anchor=none', false],
} as const satisfies Record<string, readonly [string, boolean]>;

const pair = (first: string, second: string, more: object = {}) => ({
  targets: [
    { provider: 'primary', model: first },
    { provider: 'backup', model: second, ...more },
  ],
});

const models = {
  ...Object.fromEntries(
    Object.entries(backups).map(([alias, [model, prefill]]) => [
      alias,
      pair(cut, model, { prefill }),
    ]),
  ),
  reset: pair('reset-before-headers', 'healthy'),
  overloaded: pair('status:code=503', 'healthy'),
  silent: { ...pair('silent', 'healthy'), firstTokenTimeout: '300ms' },
  stalled: { ...pair('stall:after=20', 'healthy'), idleTimeout: '300ms' },
  damaged: pair('damaged-event:after=20', 'healthy'),
  'damaged once': {
    targets: [{ provider: 'primary', model: 'damaged-event:after=20,times=1,key=damaged' }],
  },
  // It takes neither the request that the first one took nor any that goes on with the answer.
  refusing: pair('cut:after=40,times=1,key=refusing', 'status:code=400'),
  filtering: pair('cut:after=40', 'status:error=content_filter'),
  'refused-prefill-then-anchor': pair(cut, 'no-prefill:anchor=exact', { prefill: true }),
  'same model': { ...pair(cut, 'healthy'), continuationScope: 'same-model' },
  else: pair(cut, 'healthy:diverge=1'),
  'both cut': pair('cut:after=20', 'cut:after=45,prefill=continue', { prefill: true }),
  'both cut, and the first heals': pair(
    'cut:after=20,times=1,prefill=continue,key=heals',
    'cut:after=45,prefill=continue',
    { prefill: true },
  ),
  'both cut before a word': pair('cut:after=0', 'cut:after=0'),
  'reset after its end': pair('reset-after-finish', 'healthy'),
  strict: { ...pair(cut, 'anchored:anchor=exact,diverge=1'), continuation: 'strict' },
};

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ models });
});
afterAll(() => fleet.close());
// Faults that come once come again in a second try.
beforeEach(() => {
  fleet.primary.reset();
  fleet.backup.reset();
});

const text = expectedText({ tokens: 60 });

/** Who was asked, and how that ended. */
const attemptsOf = async (stream: Stream): Promise<string[]> => {
  const { attempts } = await getJob(fleet.url, await requestId(stream));
  return attempts.map(({ provider, outcome }) => `${provider} ${outcome}`);
};

const withUsage = { body: { stream_options: { include_usage: true } } };

describe('an answer that is cut in the middle', () => {
  it.each(Object.keys(backups))('goes on whole, as one answer: %s', async (alias) => {
    const stream = ask(fleet.url, alias, withUsage);
    await expectWhole(stream, text);
    expectOneAnswer(stream);
    const job = await getJob(fleet.url, await requestId(stream));
    expect(job.attempts.at(-1)).toMatchObject({ provider: 'backup', outcome: 'completed' });
  });

  it.each([
    ['damaged', 'backup'],
    ['damaged once', 'primary'],
  ])('goes on behind the last event that can be read: %s', async (alias, second) => {
    const stream = ask(fleet.url, alias, withUsage);
    await expectWhole(stream, text);
    expectOneAnswer(stream);
    expect(await attemptsOf(stream)).toEqual([
      'primary upstream_invalid_response',
      `${second} completed`,
    ]);
  });

  it('is whole in spite of a backup that refuses it in every way', async () => {
    const stream = ask(fleet.url, 'refusing', withUsage);
    await expectWhole(stream, expectedText({ tokens: 60 }));
    expectOneAnswer(stream);
    const { attempts } = await getJob(fleet.url, await requestId(stream));
    expect(attempts.map(({ outcome }) => outcome)).toEqual([
      'upstream_reset',
      'target_unsuited',
      'target_unsuited',
      'completed',
    ]);
  });

  it('ends where a backup filters it', async () => {
    const stream = ask(fleet.url, 'filtering');
    await stream.ended;
    expect(stream.events.at(-1)?.data).toContain('upstream_failed_mid_stream');
    const { attempts } = await getJob(fleet.url, await requestId(stream));
    expect(attempts.map(({ outcome }) => outcome)).toEqual(['upstream_reset', 'content_filtered']);
  });

  it('is not anchored where the model says so', async () => {
    const stream = ask(fleet.url, 'strict');
    await stream.ended;
    expect(stream.events.at(-1)?.data).toContain('upstream_failed_mid_stream');
    const asked = fleet.backup.requests.filter(({ model }) => model.includes('diverge'));
    expect(asked.every(({ rawBody }) => !rawBody.includes('cut off'))).toBe(true);
  });
});

describe('a backup that rejects prefill', () => {
  it('is asked in another way, and its 400 is not seen', async () => {
    const stream = ask(fleet.url, 'refused-prefill-then-anchor', withUsage);
    await expectWhole(stream, text);
    expectOneAnswer(stream);
    expect(await attemptsOf(stream)).toEqual([
      'primary upstream_reset',
      'backup target_unsuited',
      'backup completed',
    ]);
  });
});

describe('a backup that answers something else', () => {
  it('is not shown to a plain reader, who gets a true beginning and one clear error', async () => {
    const stream = ask(fleet.url, 'else');
    const answer = await readPlain(stream);
    expect(answer).toMatchObject({
      end: 'error',
      text: expectedText({ tokens: 40 }),
      error: { code: 'upstream_failed_mid_stream' },
    });
    expect(await attemptsOf(stream)).toContain('backup no_continuation');
  });

  it('is the fresh answer of a native reader, who is told to forget', async () => {
    const events = await eventsOf(fleet.url, await createJob(fleet.url, 'else'));
    expect(readStory(events)).toMatchObject({
      end: 'done',
      takenBack: [expectedText({ tokens: 40 })],
      text: expectedText({ tokens: 60, diverge: 1 }),
    });
  });
});

describe('a model whose answers only the same model may continue', () => {
  it('ends with one clear error for a plain reader, and no other model is asked', async () => {
    const stream = ask(fleet.url, 'same model');
    expect(await readPlain(stream)).toMatchObject({
      end: 'error',
      text: expectedText({ tokens: 40 }),
      error: { code: 'upstream_failed_mid_stream' },
    });
    expect(await attemptsOf(stream)).not.toContainEqual(expect.stringContaining('backup'));
  });

  it('may answer a native reader anew at any target', async () => {
    const events = await eventsOf(fleet.url, await createJob(fleet.url, 'same model'));
    expect(readStory(events)).toMatchObject({
      end: 'done',
      takenBack: [expectedText({ tokens: 40 })],
      text,
    });
  });
});

describe('both targets cut', () => {
  it('the answer goes on at the first one again, where that can', async () => {
    const stream = ask(fleet.url, 'both cut, and the first heals', withUsage);
    await expectWhole(stream, text);
    expectOneAnswer(stream);
    const attempts = await attemptsOf(stream);
    expect(attempts.slice(0, 2)).toEqual(['primary upstream_reset', 'backup upstream_reset']);
    expect(attempts.at(-1)).toBe('primary completed');
  });

  it('again and again: all that was said once, and one clear error', async () => {
    const stream = ask(fleet.url, 'both cut', withUsage);
    const answer = await readPlain(stream);
    expect(answer).toMatchObject({
      end: 'error',
      error: { code: 'upstream_failed_mid_stream' },
    });
    // As far as the one that said more.
    expect(text.startsWith(answer.text)).toBe(true);
    expect(answer.text.length).toBeGreaterThan(expectedText({ tokens: 44 }).length);
    const { attempts } = await getJob(fleet.url, await requestId(stream));
    expect(attempts.length).toBeLessThanOrEqual(12);
  });

  it('before a word was said: an error with its status, and no stream', async () => {
    const stream = ask(fleet.url, 'both cut before a word');
    const { end, head, error } = await readPlain(stream);
    expect({ end, status: head.status, code: error?.code }).toEqual({
      end: 'error',
      status: 502,
      code: 'upstream_reset',
    });
  });
});

it('a target that resets after finish_reason has answered: nobody else is asked', async () => {
  const stream = ask(fleet.url, 'reset after its end');
  await expectWhole(stream, text);
  expect(await attemptsOf(stream)).toEqual(['primary completed']);
});

describe('a provider that fails before anything is seen', () => {
  it.each(['reset', 'overloaded', 'silent'])('is not noticed: %s', async (alias) => {
    const stream = ask(fleet.url, alias, withUsage);
    await expectWhole(stream, text);
    expectOneAnswer(stream);
  });
});

it('a provider that falls silent in the middle is replaced', async () => {
  const stream = ask(fleet.url, 'stalled', withUsage);
  await expectWhole(stream, text);
  expectOneAnswer(stream);
});
