import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { endWorkersOfFailedTests } from '../kit/after-failure.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { startRedisProxy } from '../kit/redis-proxy.ts';
import type { RedisProxy } from '../kit/redis-proxy.ts';
import { expectOneAnswer, finishOf } from '../system/shown.ts';
import { expectedText, expectedTokens } from '../../apps/simulator/src/index.ts';
import {
  ask,
  askWhole,
  createJob,
  eventsOf,
  follow,
  getJob,
  requestId,
  untimed,
} from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { expectWhole, readStory } from '../kit/judge.ts';
import { asked, expectEmpty, isAlive, observeQueue, userOf } from '../kit/observe.ts';
import { killed } from '../kit/takeover.ts';

// A worker is killed between the last byte of its provider and the terminal entry of the log. How
// much of the end is in the log by then, the proxy between the workers and Redis decides: the one that goes on is the next
// one that is killed.

let fleet: Fleet;
let proxy: RedisProxy;
let doomed: RoleProcess;
/** Another one in each test: the provider's log knows its calls by it. */
let user: string;
let tests = 0;
beforeAll(async () => {
  fleet = await startFleet({ workers: 0, models });
  proxy = await startRedisProxy(fleet.redis.url);
});
beforeEach(async () => {
  doomed = fleet.workers.find(isAlive) ?? (await fleet.addWorker(proxy.url));
  user = `killed-${(tests += 1)}`;
});
afterEach(() => proxy.reset());
endWorkersOfFailedTests(() => fleet);
afterAll(async () => {
  await fleet?.close();
  await proxy?.close();
});

const text = expectedText({ tokens: 60 });
/** Says everything but `[DONE]`: after a second the answer counts as whole. */
const ends = 'no-terminator:pace=2,linger=60000';
const pair = (first: string) => ({
  targets: [
    { provider: 'primary', model: first },
    { provider: 'backup', model: 'prefill', prefill: true },
  ],
});
const models = {
  ends: pair(ends),
  'ends with usage': pair(`${ends},usage=finish`),
  healthy: pair('healthy:pace=2'),
  big: pair('big:bytes=700000'),
};

/** As it stands in a terminal line, and in no other. */
const terminalDone = 'd{"finishReason"';
const finishReason = '"finish_reason":"stop"';

/** Kills the worker as soon as this happens; another one is there to go on. */
async function killWhen(moment: Promise<unknown>): Promise<void> {
  await moment;
  await killed(doomed);
  await fleet.addWorker(proxy.url);
}

const withUsage = { stream_options: { include_usage: true } };
const askFor = (model: string) => ask(fleet.url, model, { body: { user, ...withUsage } });

const isFinished = async () => {
  await fleet.primary.waitFor((one) => userOf(one) === user && one.state === 'finished');
};

/** What the log tells: its attempts, and one end. */
const storyOf = async (stream: Stream) =>
  readStory(await eventsOf(fleet.url, await requestId(stream)));

async function expectNobodyAskedAgain(): Promise<void> {
  expect(asked(fleet.primary, user)).toBe(1);
  expect(asked(fleet.backup, user)).toBe(0);
  await expectEmpty(observeQueue(fleet));
}

describe('a worker that is killed between the last byte of its provider and the terminal entry', () => {
  test.each(['ends', 'ends with usage'])(
    'leaves only the end to be written, where the log has the finish_reason: %s',
    async (model) => {
      const held = proxy.holdCommand(terminalDone);
      const stream = askFor(model);
      await stream.until(() => finishOf(stream) === 'stop');
      await killWhen(held);

      await expectWhole(stream, text);
      expectOneAnswer(stream);
      const { end, attempts } = await storyOf(stream);
      expect({ end, attempts: attempts.length }).toEqual({ end: 'done', attempts: 1 });
      const { usage } = (await getJob(fleet.url, await requestId(stream))) as { usage?: unknown };
      expect(usage).toMatchObject({ total_tokens: expect.any(Number) });
      await expectNobodyAskedAgain();
    },
  );

  test('leaves only the end to be written to readers of a job', async () => {
    const held = proxy.holdCommand(terminalDone);
    const id = await createJob(fleet.url, 'ends', { user });
    const reader = follow(fleet.url, id);
    await killWhen(held);

    await reader.ended;
    expect(readStory(reader.events)).toMatchObject({ end: 'done', text, takenBack: [] });
    const kept = reader.events.filter(({ event }) => event !== 'queued');
    expect(await eventsOf(fleet.url, id)).toEqual(untimed(kept));
    await expectNobodyAskedAgain();
  });

  test('has not half ended a large answer that was not streamed: the next target answers', async () => {
    // The answer and its end are one write.
    const held = proxy.holdCommand(terminalDone);
    const call = askWhole(fleet.url, 'big', { body: { user } });
    await killWhen(held);

    expect(await call.ended).toMatchObject({ how: 'complete' });
    expect((await call.head).status).toBe(200);
    const { choices } = JSON.parse(call.text) as { choices: { message: { content: string } }[] };
    expect(choices[0]?.message.content).toBe(expectedText({ tokens: 60 }));
    expect(asked(fleet.primary, user)).toBe(1);
    expect(asked(fleet.backup, user)).toBe(1);
    await expectEmpty(observeQueue(fleet));
  });

  test('leaves nothing to be done, where its own last write came through unknown to it', async () => {
    const answered = proxy.holdAnswerTo(terminalDone);
    const stream = askFor('ends');
    await killWhen(answered);

    await expectWhole(stream, text);
    expectOneAnswer(stream);
    expect(await storyOf(stream)).toMatchObject({ end: 'done' });
    await expectNobodyAskedAgain();
  });

  test.each([
    ['lacks the last words', expectedTokens({ tokens: 60 })[50] ?? ''],
    ['has every word, but not the finish_reason', finishReason],
  ])('is gone on from by the ladder, where the log %s', async (_what, lost) => {
    const held = proxy.holdCommand(lost);
    const stream = askFor('healthy');
    await killWhen(Promise.all([held, isFinished()]));

    await expectWhole(stream, text);
    expectOneAnswer(stream);
    const { end, attempts } = await storyOf(stream);
    expect(end).toBe('done');
    expect(attempts.map(({ provider, mode }) => `${provider} ${mode}`)).toEqual([
      'primary start',
      'backup continue',
    ]);
    expect(asked(fleet.primary, user)).toBe(1);
    expect(asked(fleet.backup, user)).toBe(1);
    await expectEmpty(observeQueue(fleet));
  });
});
