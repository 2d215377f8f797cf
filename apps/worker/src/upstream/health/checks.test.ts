import type { CheckConfig } from '@millrace/shared/config';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Target } from '@millrace/shared/domain/request';
import { targetKey } from '@millrace/shared/domain/target-key';
import { startChecks } from './checks.ts';
import type { Answer, CheckChange, Question } from './checks.ts';
import { fail, fault, pass, startMembers, statesOf, target } from './health.fixture.ts';
import type { Member } from './health.fixture.ts';

const other = { provider: 'openai', model: 'gpt-4o-mini' };

const models: CheckConfig = {
  kind: 'models',
  intervalMs: 30_000,
  unhealthyIntervalMs: 5000,
  timeoutMs: 2000,
};

type Asked = { by: string; at: number; question: Question };

/** Workers that check one provider with two targets. */
function startCheckers(check: CheckConfig = models) {
  const { fleet, held, join } = startMembers();
  const asked: Asked[] = [];
  const told: CheckChange[] = [];
  const startedAt = Date.now();
  let answer: (signal: AbortSignal, question: Question) => Promise<Answer> = async () => ({
    kind: 'ok',
  });

  async function start(by: string, wasLate = () => false) {
    const member = await join(by);
    const checks = startChecks({
      wasLate,
      onChange: (change) => told.push(change),
      fleet: fleet.join(`${by}-checks`),
      health: member.health,
      providers: [{ name: 'openai', check, targets: [target, other] }],
      ask(question, signal) {
        asked.push({ by, at: Date.now() - startedAt, question });
        return answer(signal, question);
      },
      onError: (error) => member.errors.push(error),
    });
    onTestFinished(() => checks.close());
    await pass(1);
    return { ...member, checks };
  }

  return {
    fleet,
    /** An operator opens or closes a target. */
    open: (one: Target) => void held.add(targetKey(one)),
    close: (one: Target) => void held.delete(targetKey(one)),
    start,
    asked,
    told,
    say(next: Answer | ((signal: AbortSignal, question: Question) => Promise<Answer>)) {
      answer = typeof next === 'function' ? next : async () => next;
    },
  };
}

const opens = async (one: Member) => {
  fail(one, 5);
  await pass(1000);
};

describe('a provider', () => {
  test('is asked by one worker, at its interval', async () => {
    const { start, asked } = startCheckers();
    await start('one');
    await start('two');
    await pass(61_000);
    expect(asked.map(({ by }) => by)).toEqual(['one', 'one', 'one']);
    expect(asked.map(({ question }) => question)).toContainEqual({
      kind: 'models',
      provider: 'openai',
    });
  });

  test('is not asked when that is switched off', async () => {
    const { start, asked } = startCheckers({ ...models, kind: 'off' });
    await start('one');
    await pass(61_000);
    expect(asked).toEqual([]);
  });

  test('is asked by another worker within seconds when the first one has died', async () => {
    const { fleet, start, asked } = startCheckers();
    await start('one');
    await start('two');
    fleet.disconnect('one-checks');
    await pass(4500);
    expect(asked.map(({ by }) => by)).toEqual(['one', 'two']);
    fleet.reconnect();
    await pass(31_000);
    expect(asked.map(({ by }) => by)).toEqual(['one', 'two', 'two']);
  });

  test('is taken over at once from a worker that leaves', async () => {
    const { start, asked } = startCheckers();
    const one = await start('one');
    await start('two');
    one.checks.close();
    await pass(1001);
    expect(asked.map(({ by }) => by)).toEqual(['one', 'two']);
  });

  test('is asked more often while one of its targets is not well', async () => {
    const { start, asked } = startCheckers();
    const one = await start('one');
    await pass(10_000);
    await opens(one);
    await pass(10_000);
    expect(asked.length).toBeGreaterThanOrEqual(3);
    expect(asked.length).toBeLessThanOrEqual(4);
  });

  test('is not asked more often because an operator has opened one of its targets', async () => {
    const { open, start, say, asked } = startCheckers();
    const one = await start('one');
    open(target);
    await pass(61_000);
    expect(asked).toHaveLength(3);
    // Nor if the last check before the order has failed.
    say(fault('upstream_unreachable'));
    await pass(30_000);
    open(other);
    await pass(120_000);
    expect(asked).toHaveLength(4);
    expect(one.checks.failing()).toEqual([]);
  });

  test.each(['models', 'prompt'] as const)(
    'is not asked for %s while operators have opened all of its targets',
    async (kind) => {
      const { open, close, start, asked } = startCheckers({ ...models, kind });
      await start('one');
      open(target);
      open(other);
      await pass(61_000);
      expect(asked).toHaveLength(1);
      close(other);
      await pass(1001);
      expect(asked).toHaveLength(2);
    },
  );

  test('that dies while nobody asks it is known before the next request', async () => {
    const { start, say } = startCheckers();
    const members = [await start('one'), await start('two')];
    say(fault('upstream_unreachable'));
    await pass(30_000 + 4 * 5000 + 100);
    for (const { health } of members) {
      expect([target, other].map((one) => health.admit(one))).toEqual(['no', 'no']);
    }
    expect(members[0]?.checks.counters()).toEqual({ ok: 1, failed: 5 });
    say({ kind: 'ok' });
    await pass(9000);
    expect(statesOf(...members)).toEqual(['closed', 'closed']);
  });

  test('is spoken of when its checks begin to fail, and when they are answered again', async () => {
    const { start, say, told } = startCheckers({ ...models, intervalMs: 5000 });
    const { checks } = await start('one');
    say(fault('upstream_unreachable'));
    await pass(21_000);
    say({ kind: 'ok' });
    await pass(21_000);
    expect(told).toMatchObject([
      { provider: 'openai', fault: { code: 'upstream_unreachable' } },
      { provider: 'openai', fault: undefined },
    ]);
    expect(checks.byTarget()).toMatchObject([target, other]);
    for (const { ok, failed } of checks.byTarget()) expect(Math.min(ok, failed)).toBeGreaterThan(3);
  });

  test('that does not answer in time has failed', async () => {
    const { start, say } = startCheckers({ ...models, intervalMs: 5000 });
    say(() => new Promise(() => {}));
    const one = await start('one');
    await pass(2001);
    expect(one.checks.counters()).toEqual({ ok: 0, failed: 1 });
    await pass(20_000);
    expect(statesOf(one)).not.toEqual(['closed']);
  });

  test('is not judged by a worker that stood still meanwhile', async () => {
    const { start, say, asked } = startCheckers();
    say(fault('upstream_unreachable'));
    const one = await start('one', () => true);
    await pass(61_000);
    expect(asked.length).toBeGreaterThan(1);
    expect(one.checks.counters()).toEqual({ ok: 0, failed: 0 });
    expect(statesOf(one)).toEqual(['closed']);
  });

  test('that fails four times and answers, again and again, stays', async () => {
    const { start, say, asked } = startCheckers();
    say(async () => (asked.length % 5 === 0 ? { kind: 'ok' } : fault('upstream_unreachable')));
    const one = await start('one');
    await pass(300_000);
    expect(asked.length).toBeGreaterThan(20);
    expect(one.changes).toEqual([]);
  });

  test.each([
    ['has no such page', fault('upstream_model_not_found', { httpStatus: 404 })],
    ['does not let this key see it', fault('upstream_auth_failed', { httpStatus: 403 })],
    ['wants fewer requests', fault('upstream_rate_limited', { httpStatus: 429 })],
  ])('that %s is there', async (_name, answer) => {
    const { start, say } = startCheckers();
    say(answer);
    const one = await start('one');
    await pass(300_000);
    expect(statesOf(one)).toEqual(['closed']);
  });

  test('whose list of models is fine does not come back by that when its completions fail', async () => {
    const { start } = startCheckers();
    const one = await start('one');
    await opens(one);
    await pass(60_000);
    expect(statesOf(one)).toEqual(['half-open']);
    // Nor are its failures forgotten.
    const two = { ...other };
    for (let i = 0; i < 4; i++) one.health.started(two)(fault('upstream_reset'));
    await pass(60_000);
    one.health.started(two)(fault('upstream_reset'));
    expect(one.health.stateOf(two)).toBe('open');
  });
});

describe('a prompt', () => {
  const prompts: CheckConfig = { ...models, kind: 'prompt' };

  test('goes to one target after the other', async () => {
    const { start, asked } = startCheckers(prompts);
    await start('one');
    await pass(61_000);
    expect(asked.map(({ question }) => question)).toEqual([
      { kind: 'prompt', target },
      { kind: 'prompt', target: other },
      { kind: 'prompt', target },
    ]);
  });

  test('is the probe of a target that waits for one', async () => {
    const { start, asked } = startCheckers(prompts);
    const one = await start('one');
    await opens(one);
    await pass(5001);
    expect(asked.at(-1)?.question).toEqual({ kind: 'prompt', target });
    expect(statesOf(one)).toEqual(['recovering']);
    await pass(3000);
    expect(statesOf(one)).toEqual(['closed']);
    expect(one.health.counters().probes).toMatchObject({ started: 1, ok: 1 });
  });

  test('that fails as a probe keeps the target away', async () => {
    const { start, say } = startCheckers(prompts);
    const one = await start('one');
    await opens(one);
    say(fault('upstream_overloaded'));
    await pass(4002);
    expect(statesOf(one)).toEqual(['open']);
    expect(one.health.counters().probes).toMatchObject({ failed: 1 });
  });

  test('is not put while no target of the provider may be asked', async () => {
    const { start, asked } = startCheckers({ ...prompts, unhealthyIntervalMs: 100 });
    const one = await start('one');
    for (const each of [target, other]) {
      for (let i = 0; i < 5; i++) one.health.started(each)(fault('upstream_reset'));
    }
    const before = asked.length;
    await pass(990);
    expect(asked.length).toBe(before);
  });

  test('that one target fails says nothing about the others', async () => {
    const { start, say } = startCheckers(prompts);
    say(async (_signal, question) =>
      question.kind === 'prompt' && question.target.model === other.model
        ? fault('upstream_model_not_found', { httpStatus: 404 })
        : { kind: 'ok' },
    );
    const one = await start('one');
    await pass(120_000);
    expect(one.health.stateOf(target)).toBe('closed');
    expect(one.health.stateOf(other)).not.toBe('closed');
    expect(one.changes.every(({ target: { model } }) => model === other.model)).toBe(true);
  });

  test.each(['upstream_auth_failed', 'upstream_rate_limited', 'upstream_quota_exceeded'] as const)(
    'that is answered with %s tells of its key, and of no target',
    async (code) => {
      const { start, say } = startCheckers(prompts);
      say(fault(code));
      const one = await start('one');
      await pass(600_000);
      expect(one.changes).toEqual([]);
      expect(one.checks.counters()).toEqual({ ok: 0, failed: 0 });
    },
  );
});
