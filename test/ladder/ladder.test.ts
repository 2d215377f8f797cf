import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, getJob, requestId } from '../fault/client.ts';
import { expectWhole } from '../fault/judge.ts';
import { startFleet } from '../harness/fleet.ts';
import type { Fleet } from '../harness/fleet.ts';
import { expectedText } from '../simulator/index.ts';
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
  // It takes neither the request that the first one took nor any that goes on with the answer.
  refusing: pair('cut:after=40,times=1,key=refusing', 'status:code=400'),
  filtering: pair('cut:after=40', 'status:error=content_filter'),
  strict: { ...pair(cut, 'anchored:anchor=exact,diverge=1'), continuation: 'strict' },
};

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ models });
});
afterAll(() => fleet.close());

const withUsage = { body: { stream_options: { include_usage: true } } };

describe('an answer that is cut in the middle', () => {
  it.each(Object.keys(backups))('goes on whole, as one answer: %s', async (alias) => {
    const stream = ask(fleet.url, alias, withUsage);
    await expectWhole(stream, expectedText({ tokens: 60 }));
    expectOneAnswer(stream);
    const job = await getJob(fleet.url, await requestId(stream));
    expect(job.attempts.at(-1)).toMatchObject({ provider: 'backup', outcome: 'completed' });
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

describe('a provider that fails before anything is seen', () => {
  it.each(['reset', 'overloaded', 'silent'])('is not noticed: %s', async (alias) => {
    const stream = ask(fleet.url, alias, withUsage);
    await expectWhole(stream, expectedText({ tokens: 60 }));
    expectOneAnswer(stream);
  });
});

it('a provider that falls silent in the middle is replaced', async () => {
  const stream = ask(fleet.url, 'stalled', withUsage);
  await expectWhole(stream, expectedText({ tokens: 60 }));
  expectOneAnswer(stream);
});
