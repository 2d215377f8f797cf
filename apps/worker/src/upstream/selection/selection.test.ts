import type { ModelConfig } from '@millrace/shared/config';
import type { Target } from '@millrace/shared/domain/request';
import { createMemoryWindows } from '@millrace/shared/store/quota/memory-windows';
import { describe, expect, it } from 'vitest';
import { createClock } from './clock.fixture.ts';
import { unlimitedWaits } from './wait-limits.fixture.ts';
import { createSelection } from './selection.ts';
import { blockChars } from './prompt-cache.ts';
import { seeded } from './simulation.fixture.ts';
import type { Prices } from '@millrace/shared/cost/prices';

const model = (rest: Partial<ModelConfig>): ModelConfig =>
  ({ strategy: 'failover', maxWaitMs: 30_000, ...rest }) as ModelConfig;

const a = { provider: 'x', model: 'a' };
const b = { provider: 'y', model: 'b' };
const both = [
  { ...a, weight: 1 },
  { ...b, weight: 1 },
];

function setUp(config: Partial<ModelConfig> = {}, prices: Prices = () => null) {
  const clock = createClock();
  const broken = new Map<string, number | undefined>();
  /** Targets that recover, where each sample that is drawn is deferred. */
  const coming = new Set<string>();
  /** Of targets that are not dead although they are broken. */
  const rates = new Map<string, number>();
  const drawn: string[] = [];
  /** Providers to which no connection is free. */
  const full = new Set<string>();
  const facts: string[] = [];
  let available = (): void => {};
  const make = () =>
    createSelection({
      models: { m: model({ targets: both, ...config }) },
      providers: {
        x: { api: 'openai', apiKeys: ['sk-secret'] },
        y: { api: 'openai', apiKeys: [] },
      },
      health: {
        admit({ model }) {
          if (coming.has(model)) drawn.push(model);
          return broken.has(model) || coming.has(model) ? 'no' : 'yes';
        },
        isHeld: () => false,
        stateOf({ model }) {
          if (coming.has(model)) return 'recovering';
          return broken.has(model) ? 'open' : 'closed';
        },
        nextTryAt: (target) => broken.get(target.model),
        successRate: ({ model }) => rates.get(model) ?? 0,
        inFlight: () => 0,
        firstTokenMs: () => undefined,
        onAvailable: (listener) => (available = listener),
      },
      prices,
      windows: createMemoryWindows({ now: clock.now }),
      isFull: (provider) => full.has(provider),
      waiting: 10,
      waitLimits: unlimitedWaits,
      now: clock.now,
      random: seeded(1),
      setTimer: clock.setTimer,
      share: (fact) => facts.push(fact),
      onError(error) {
        throw error;
      },
    });
  const selection = make();
  const wait = (targets: readonly Target[] = both) =>
    selection
      .queue('m', { signal: new AbortController().signal })
      .wait({ wants: targets.map((target) => ({ target, notBefore: 0 })) });
  const announce = (): void => available();
  return { clock, broken, full, coming, drawn, rates, facts, selection, make, wait, announce };
}

describe('the order of targets', () => {
  it('has those apart that cannot be asked, and keeps what the caller knows of them', () => {
    const { broken, selection } = setUp();
    const routes = [
      { ...a, prefill: true },
      { ...b, prefill: false },
    ];
    expect(selection.order('m', routes, '{}')).toEqual({ open: routes, shut: [] });
    broken.set('a', undefined);
    expect(selection.order('m', routes, '{}')).toEqual({
      open: routes.slice(1),
      shut: routes.slice(0, 1),
    });
  });

  it('shares the load among those that can be asked', () => {
    const c = { provider: 'y', model: 'c' };
    const targets = [...both, { ...c, weight: 1 }];
    const { broken, selection } = setUp({ strategy: 'round-robin', targets });
    broken.set('b', undefined);
    const firsts = Array.from(
      { length: 100 },
      () => selection.order('m', targets, '{}').open[0]?.model,
    );
    expect(firsts.filter((first) => first === 'a').length).toBe(50);
  });

  it('begins with the target that a sticky value belongs to, as long as that can be asked', () => {
    const { broken, selection } = setUp({ sticky: 'user', strategy: 'round-robin' });
    const first = (body: string) => selection.order('m', both, body).open[0]?.model ?? '';
    const users = Array.from({ length: 40 }, (_, index) => `{"user":"${index}"}`);
    const owners = users.map(first);
    expect(new Set(owners)).toEqual(new Set(['a', 'b']));
    expect(users.map(first)).toEqual(owners);
    broken.set('a', undefined);
    expect(new Set(users.map(first))).toEqual(new Set(['b']));
    broken.clear();
    expect(users.map(first)).toEqual(owners);
    expect(first('{}')).not.toBe(first('{}'));
  });
});

describe('the order by cost', () => {
  /** `a` has cheap input and dear output, `b` the reverse, with a cheap cache. */
  const prices: Prices = ({ model }, { input, cached, output }) =>
    model === 'a' ? input * 2 + output * 20 : (input - cached) * 8 + cached + output * 5;
  const byCost = () => setUp({ strategy: 'cheapest', sticky: 'user' }, prices);
  const bodyOf = (chars: number, max_tokens: number) =>
    JSON.stringify({ user: 'ada', max_tokens, messages: [{ content: 'x'.repeat(chars) }] });

  it('is that of the expected tokens, whatever a sticky value says', () => {
    const { selection, broken } = byCost();
    const first = (body: string) => selection.order('m', both, body).open[0]?.model;
    expect(first(bodyOf(4000, 10))).toBe('a');
    expect(first(bodyOf(400, 400))).toBe('b');
    broken.set('b', undefined);
    expect(first(bodyOf(400, 400))).toBe('a');
  });

  it('counts the prompt that a target has in its cache', () => {
    const { selection } = byCost();
    const body = bodyOf(4 * blockChars, 10);
    const first = () => selection.order('m', both, body).open[0]?.model;
    expect(first()).toBe('a');
    selection.asked('m', b, body)?.({ prompt_tokens: 4000 });
    expect(first()).toBe('b');
  });

  it('of a rescue counts the delivered text as input, and the rest as output', () => {
    const { selection } = byCost();
    const order = (delivered: number) =>
      selection.orderOfRescue('m', both, { body: bodyOf(400, 400), delivered });
    expect(order(10)?.map(({ model }) => model)).toEqual(['b', 'a']);
    expect(order(350)?.map(({ model }) => model)).toEqual(['a', 'b']);
    expect(
      setUp().selection.orderOfRescue('m', both, { body: '{}', delivered: 1 }),
    ).toBeUndefined();
  });

  it('changes with the config', () => {
    const { selection } = setUp({}, prices);
    const first = () => selection.order('m', both, bodyOf(400, 400)).open[0]?.model;
    expect(first()).toBe('a');
    const models = { m: model({ targets: both, strategy: 'cheapest' }) };
    selection.replace({ models, providers: {} });
    expect(first()).toBe('b');
  });
});

describe('whether a target may be asked', () => {
  it('is told by its health, its keys and its limits: the last of them to open counts', async () => {
    const { clock, broken, selection } = setUp({
      targets: [{ ...a, weight: 1, limits: { requestsPerMinute: 1 } }],
    });
    expect(selection.check('m', a)).toEqual({ kind: 'yes' });
    expect((await selection.take(a, '{}')).kind).toBe('yes');
    const refused = await selection.take(a, '{}');
    expect(refused).toMatchObject({ kind: 'no' });
    const fullMs = refused.kind === 'no' ? refused.retryAfterMs : 0;
    expect(fullMs).toBeGreaterThan(60_000);
    expect(fullMs).toBeLessThanOrEqual(61_000);
    const no = (ms: number, why: string) => ({ kind: 'no', until: clock.now() + ms, why });
    expect(selection.check('m', a)).toEqual(no(fullMs, 'limited'));
    selection.key(a, '{}')?.used({ 'retry-after': '300' }, 429);
    expect(selection.check('m', a)).toEqual(no(300_000, 'limited'));
    broken.set('a', undefined);
    expect(selection.check('m', a)).toEqual(no(300_000, 'broken'));
    broken.set('a', clock.now() + 900_000);
    expect(selection.check('m', a)).toEqual(no(900_000, 'broken'));
    broken.clear();
    await clock.pass(300_000);
    expect(selection.check('m', a)).toEqual({ kind: 'yes' });
  });

  it('counts the connections that this worker may have', () => {
    const { selection, full, broken } = setUp();
    full.add('x');
    expect(selection.check('m', a)).toMatchObject({ kind: 'no', why: 'limited' });
    expect(selection.availabilityOf('m')).toBe('open');
    full.add('y');
    expect(selection.availabilityOf('m')).toBe('limited');
    broken.set('a', undefined).set('b', undefined);
    expect(selection.availabilityOf('m')).toBe('broken');
    expect(selection.availabilityOf('unknown')).toBe('broken');
  });

  it('is shared among workers, without any key', () => {
    const { clock, selection, make, facts } = setUp();
    const other = make();
    selection.key(a, '{}')?.used({ 'retry-after': '9' }, 429);
    expect(facts.join()).not.toContain('sk-secret');
    for (const fact of [...facts, 'no fact', '{"kind":"later"}', '[]']) other.onNotice(fact);
    expect(other.check('m', a)).toMatchObject({ kind: 'no', until: clock.now() + 9000 });
  });
});

describe('limits', () => {
  const limited = (limits: NonNullable<ModelConfig['targets'][number]['limits']>) =>
    setUp({ targets: [{ ...a, weight: 1, limits }, both[1]!] });
  const body = '{"max_tokens":600}';

  it('cost a target without them nothing', () => {
    const taken = setUp().selection.take(a, '{}');
    expect(taken).not.toBeInstanceOf(Promise);
    expect(taken).toMatchObject({ kind: 'yes' });
  });

  it('count tokens as estimated, and then as used', async () => {
    const { selection } = limited({ tokensPerMinute: 1000 });
    const first = await selection.take(a, body);
    expect((await selection.take(a, body)).kind).toBe('no');
    if (first.kind === 'yes') first.settle({ total_tokens: 100 });
    const second = await selection.take(a, body);
    expect(second.kind).toBe('yes');
    if (second.kind === 'yes') second.settle({ total_tokens: 900 });
    expect((await selection.take(a, '{"max_tokens":1}')).kind).toBe('no');
  });

  it('keep the estimate where nobody said what was used, and settle once', async () => {
    const { selection } = limited({ tokensPerMinute: 1000 });
    const first = await selection.take(a, body);
    if (first.kind === 'yes') {
      first.settle(undefined);
      first.settle({ total_tokens: 500 });
      first.settle({ total_tokens: 0 });
      first.cancel();
    }
    expect((await selection.take(a, body)).kind).toBe('no');
  });

  it('get everything back for a call that was never made', async () => {
    const { selection } = limited({ requestsPerMinute: 1, tokensPerMinute: 1000 });
    const first = await selection.take(a, body);
    if (first.kind === 'yes') first.cancel();
    expect((await selection.take(a, body)).kind).toBe('yes');
  });

  it('keep a target that is short of tokens closed for a second only: smaller requests may fit', async () => {
    const { clock, selection } = limited({ tokensPerMinute: 1000 });
    await selection.take(a, body);
    await selection.take(a, body);
    expect(selection.check('m', a)).toMatchObject({ kind: 'no', until: clock.now() + 1000 });
    await clock.pass(1000);
    expect((await selection.take(a, '{"max_tokens":100}')).kind).toBe('yes');
  });
});

it('each target that takes no request has its reason in words', () => {
  const { broken, full, selection } = setUp();
  broken.set('b', undefined);
  full.add('x');
  expect(selection.whyShut(both)).toBe(
    'x/a has no free connection, y/b is broken (its breaker is not closed)',
  );
  selection.key(a, '{}')?.used({ 'retry-after': '300' }, 429);
  selection.key(a, '{}')?.failed({ code: 'upstream_rate_limited', message: 'Slow down.' });
  expect(selection.whyShut([a])).toBe("x/a is at the provider's limit");
  expect(selection.whyShut(Array.from({ length: 7 }, () => a))).toMatch(/, and 2 more$/);
});

describe('waiting for a target', () => {
  it('ends when the first of them may be asked', async () => {
    const { clock, broken, wait } = setUp();
    broken.set('a', clock.now() + 8000);
    broken.set('b', clock.now() + 90_000);
    const outcome = wait();
    await clock.pass(7999);
    broken.delete('a');
    await clock.pass(1);
    expect(await outcome).toMatchObject({ kind: 'retry', open: [{ model: 'a' }] });
  });

  it('ends at once when health announces one', async () => {
    const { clock, broken, wait, announce } = setUp();
    broken.set('a', clock.now() + 8000).set('b', clock.now() + 9000);
    const outcome = wait();
    await clock.pass(10);
    broken.delete('b');
    announce();
    expect(await outcome).toMatchObject({ kind: 'retry', open: [{ model: 'b' }] });
  });

  it.each([
    ['rests because its provider said so', undefined, 'upstream_rate_limited'],
    ['is broken besides', 400_000, 'no_target_available'],
  ])('ends with the reason of a target that %s', async (_how, brokenMs, code) => {
    const { clock, broken, selection, wait } = setUp({ targets: [{ ...a, weight: 1 }] });
    const lease = selection.key(a, '{}');
    lease?.used({ 'retry-after': '300' }, 429);
    lease?.failed({ code: 'upstream_rate_limited', message: 'Slow down.' });
    if (brokenMs !== undefined) broken.set('a', clock.now() + brokenMs);
    const outcome = wait([a]);
    await clock.pass(30_000);
    const retryAfterMs = (brokenMs ?? 300_000) - 30_000;
    expect(await outcome).toMatchObject({ kind: 'fault', fault: { code, retryAfterMs } });
  });

  it.each(['used', 'end'] as const)(
    'ends at once when a call opens the key that it seemed to use up (%s)',
    async (how) => {
      const { clock, broken, selection, wait } = setUp();
      broken.set('b', undefined);
      const left = (count: number) => ({
        'x-ratelimit-remaining-requests': String(count),
        'x-ratelimit-limit-requests': '100',
        'x-ratelimit-reset-requests': '60s',
      });
      selection.key(a, '{}')?.used(left(1), 200);
      const underWay = selection.key(a, '{}');
      let ended = false;
      void wait().then(() => (ended = true));
      await clock.pass(200);
      expect(ended).toBe(false);
      if (how === 'used') underWay?.used(left(50), 200);
      else underWay?.end();
      await clock.pass(0);
      expect(ended).toBe(true);
    },
  );
});

it('who waits for a target at its limit goes at once when a call to it is not made after all', async () => {
  const { clock, broken, selection, wait } = setUp({
    targets: [{ ...a, weight: 1, limits: { requestsPerMinute: 1 } }, both[1]!],
  });
  broken.set('b', undefined);
  const granted = await selection.take(a, '{}');
  expect((await selection.take(a, '{}')).kind).toBe('no');
  let ended = false;
  void wait().then(() => (ended = true));
  await clock.pass(100);
  expect(ended).toBe(false);
  if (granted.kind === 'yes') granted.cancel();
  await clock.pass(0);
  expect(ended).toBe(true);
});

describe('a target that is coming back', () => {
  it('takes a request by the sample that was drawn for it, and by no other', () => {
    const { coming, selection } = setUp();
    coming.add('a');
    expect(selection.check('m', a).kind).toBe('no');
    expect(selection.check('m', a, 'admitted').kind).toBe('yes');
    selection.key(a, '{}')?.used({ 'retry-after': '9' }, 429);
    expect(selection.check('m', a, 'admitted').kind).toBe('no');
    coming.delete('a');
    expect(selection.check('m', b, 'deferred').kind).toBe('yes');
  });

  it('tells the queue until when a sample counts, which draws once until the share grows', async () => {
    const { clock, broken, coming, drawn, wait, announce } = setUp();
    coming.add('a');
    broken.set('a', clock.now() + 500);
    broken.set('b', clock.now() + 90_000);
    const outcome = wait();
    await clock.pass(499);
    announce();
    expect(drawn).toEqual([]);
    broken.set('a', clock.now() + 501);
    await clock.pass(400);
    announce();
    expect(drawn).toEqual(['a']);
    coming.delete('a');
    broken.delete('a');
    await clock.pass(101);
    expect(await outcome).toMatchObject({ kind: 'retry', open: [a] });
  });
});

it('the snapshot is JSON and holds no key', async () => {
  const { clock, selection, broken } = setUp({
    targets: [{ ...a, weight: 2, limits: { requestsPerMinute: 5 } }],
  });
  broken.set('a', clock.now() + 1000);
  await selection.take(a, '{}');
  selection.key(a, '{}')?.used({}, 401);
  const text = JSON.stringify(selection.snapshot());
  expect(text).not.toContain('sk-secret');
  expect(JSON.parse(text)).toMatchObject({
    waiting: 0,
    models: {
      m: {
        strategy: 'failover',
        targets: [
          {
            target: 'x/a',
            weight: 2,
            may: { kind: 'no' },
            limits: { requestsPerMinute: 5, used: { requests: 1 } },
          },
        ],
      },
    },
    keys: { x: [{ index: 0, asideUntil: clock.now() + 60_000 }], y: [{ index: 0 }] },
  });
});
