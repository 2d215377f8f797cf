import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestContext } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { metricAt, waitingAt } from '../kit/upstreams.ts';
import { expectedText, startSimulator } from '../../apps/simulator/src/index.ts';
import type { Simulator } from '../../apps/simulator/src/index.ts';
import { ask, askWhole, cancelJob, createJob, eventsOf, getJob } from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { expectWhole, readPlain, readStory } from '../kit/judge.ts';

// Every target of a model is broken: who comes now waits, within bounds, and goes on by itself.

const broken = (key: string) => `role-only:tokens=5,times=6,key=${key}`;
const text = expectedText({ tokens: 5 });
const mostWaiting = 3;

/** Two targets that break off their first six answers; what comes after that is well. */
const pair = (provider: string, key: string, more: object = {}) => ({
  targets: [
    { provider: `${provider}-a`, model: broken(key) },
    { provider: `${provider}-b`, model: broken(key) },
  ],
  ...more,
});

/** What breaks off six times does so once: a second try has models of its own. */
const tries = [0, 1];
const aliasOf = (name: string, { task }: TestContext) => `${name}-${task.result?.retryCount ?? 0}`;

let sick: [Simulator, Simulator];
let fleet: Fleet;
beforeAll(async () => {
  sick = await Promise.all([startSimulator({ name: 'a' }), startSimulator({ name: 'b' })]);
  const [a, b] = sick.map(({ url }) => ({ api: 'openai', baseUrl: `${url}/v1` }));
  const soon = { breaker: { failures: 6, probeInterval: '1500ms', ramp: '100ms' } };
  const later = { breaker: { failures: 6, probeInterval: '4s', ramp: '100ms' } };
  const late = { breaker: { failures: 6, probeInterval: '10m' } };
  fleet = await startFleet({
    admin: true,
    health: true,
    models: Object.fromEntries(
      tries.flatMap((number) => [
        [`recovers-${number}`, pair('soon', `recovers-${number}`)],
        [`left-${number}`, pair('later', `left-${number}`)],
        [`full-${number}`, pair('late', `full-${number}`)],
        [`impatient-${number}`, pair('late', `impatient-${number}`, { maxWait: '100ms' })],
        [`hurried-${number}`, pair('late', `hurried-${number}`)],
      ]),
    ),
    config: {
      limits: { waiting: mostWaiting },
      providers: {
        'soon-a': { ...a, ...soon },
        'soon-b': { ...b, ...soon },
        'later-a': { ...a, ...later },
        'later-b': { ...b, ...later },
        'late-a': { ...a, ...late },
        'late-b': { ...b, ...late },
      },
    },
  });
});
afterAll(async () => {
  await fleet?.close();
  await Promise.all(sick?.map((one) => one.close()) ?? []);
});

/** Six answers that break off at each target, which opens both: a request asks each of them twice. Nobody waits. */
async function breakBoth(alias: string): Promise<void> {
  for (let i = 0; i < 3; i++) {
    const { error } = await readPlain(ask(fleet.url, alias));
    expect(error).toMatchObject({ code: 'upstream_truncated' });
  }
}

/** Its words, and not its `user`: by that the simulator would tell another outage. */
const saying = (marker: string) => ({ messages: [{ role: 'user', content: marker }] });
const askedWith = (marker: string): number =>
  sick.flatMap(({ requests }) => requests.filter(({ rawBody }) => rawBody.includes(marker))).length;

async function waiting(count: number): Promise<void> {
  await expect.poll(() => waitingAt(fleet.url)).toBe(count);
}

test('a stream, a whole answer and a job go on by themselves when a target is well again', async (context) => {
  const alias = aliasOf('recovers', context);
  await breakBoth(alias);
  const since = sick[0].requests.length + sick[1].requests.length;
  const stream = ask(fleet.url, alias, { body: saying('as a stream') });
  const whole = askWhole(fleet.url, alias, { body: saying('as a whole') });
  const job = await createJob(fleet.url, alias, saying('as a job'));

  await expectWhole(stream, text);
  await whole.ended;
  expect(JSON.parse(whole.text)).toMatchObject({ choices: [{ message: { content: text } }] });
  expect(readStory(await eventsOf(fleet.url, job))).toMatchObject({ end: 'done', text });
  // Each was asked once, by nobody before the recovery: waiting is no attempt.
  expect(sick[0].requests.length + sick[1].requests.length).toBe(since + 3);
  expect((await getJob(fleet.url, job)).attempts).toMatchObject([{ outcome: 'completed' }]);
});

test('beyond the bound of those that wait, and of patience, it is a 503 that says when', async (context) => {
  const alias = aliasOf('full', context);
  await breakBoth(alias);
  const crowd = Array.from({ length: mostWaiting }, (_, i) =>
    ask(fleet.url, alias, { body: saying(`in line ${i}`) }),
  );
  await waiting(mostWaiting);
  await expect
    .poll(() => metricAt(fleet.url, 'millrace_requests_waiting_for_target', { model: alias }))
    .toBe(mostWaiting);
  await expectNoTarget(ask(fleet.url, alias));
  await expectNoTarget(askWhole(fleet.url, alias));
  for (const stream of crowd) stream.leave();
  await waiting(0);
  // There is room again.
  const next = ask(fleet.url, alias);
  await waiting(1);
  next.leave();
  await waiting(0);
});

test('the model says how long is waited, for a stream, a whole answer and a job', async (context) => {
  const alias = aliasOf('impatient', context);
  await breakBoth(alias);
  await expectNoTarget(ask(fleet.url, alias));
  await expectNoTarget(askWhole(fleet.url, alias));
  const job = await createJob(fleet.url, alias);
  expect(readStory(await eventsOf(fleet.url, job))).toMatchObject({
    end: 'failed',
    data: { error: { code: 'no_target_available' } },
  });
  expect((await getJob(fleet.url, job)).attempts).toEqual([]);
});

test('a deadline ends the wait', async (context) => {
  const alias = aliasOf('hurried', context);
  await breakBoth(alias);
  const stream = ask(fleet.url, alias, { headers: { 'x-millrace-deadline': '1s' } });
  const { head, error } = await readPlain(stream);
  expect(head.status).toBe(504);
  expect(error).toMatchObject({ code: 'deadline_exceeded' });
  await waiting(0);
});

test('who leaves while it waits is never asked for, and the others are', async (context) => {
  const alias = aliasOf('left', context);
  await breakBoth(alias);
  const leaver = ask(fleet.url, alias, { body: saying('who left') });
  const job = await createJob(fleet.url, alias, saying('cancelled'));
  await waiting(2);
  const stays = ask(fleet.url, alias, { body: saying('who stayed') });
  leaver.leave();
  await cancelJob(fleet.url, job);
  await expectWhole(stays, text);
  // They stood before who stayed: it would have been their turn first.
  expect(askedWith('who left') + askedWith('cancelled')).toBe(0);
  expect(askedWith('who stayed')).toBe(1);
  await waiting(0);
});

async function expectNoTarget(stream: Stream): Promise<void> {
  const { head, error } = await readPlain(stream);
  expect(head.status).toBe(503);
  expect(error).toMatchObject({ type: 'overloaded_error', code: 'no_target_available' });
  expect(error?.message).toMatch(/now: late-a\/.+, late-b\/.+ is broken/);
  expect(Number(head.headers['retry-after'])).toBeGreaterThanOrEqual(1);
}
