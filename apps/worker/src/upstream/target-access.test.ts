import type { FaultCode } from '@millrace/shared/domain/fault';
import { describe, expect, it } from 'vitest';
import type { AttemptOutcome } from '../run/attempt.ts';
import type { Route } from '../continuation/plan.ts';
import { createTargetAccess } from './target-access.ts';
import type { TargetAccessOptions, Permit } from './target-access.ts';
import type { WaitRequest } from './selection/waiter.ts';
import type { TargetGrant } from './selection/target-limits.ts';

const first: Route = { provider: 'p', model: 'first', prefill: false };
const second: Route = { provider: 'p', model: 'second', prefill: false };

const newcomer = { urgent: false, isFresh: true, isDetached: false };
const inMidAnswer = { urgent: true, isFresh: false, isDetached: false };

/** Target access whose every question a test answers, with what it reported. */
function open(routes: readonly Route[] = [first, second]) {
  const told: string[] = [];
  const state = {
    now: 1000,
    closed: new Set<Route>(),
    halfOpen: new Set<Route>(),
    broken: new Set<Route>(),
    mayProbe: true,
    behind: new Set<Route>(),
    /** Recovering: a sample that was not given is drawn, and deferred. */
    recovering: new Set<Route>(),
    won: new Set<Route>(),
    waits: [] as WaitRequest[],
    otherKey: false,
    lastResort: false,
    /** Connections that are kept for permits. */
    reserved: 0,
    grant: undefined as TargetGrant | Promise<TargetGrant> | undefined,
  };
  const yes: TargetGrant = {
    kind: 'yes',
    settle: (usage) => told.push(`settled ${JSON.stringify(usage)}`),
    cancel: () => told.push('grant cancelled'),
  };
  const isOpen = (route: object) => !state.closed.has(route as Route);
  const selection: TargetAccessOptions['selection'] = {
    order: (_model, targets) => ({
      // Any order but the config's.
      open: targets.filter(isOpen).toReversed(),
      shut: targets.filter((route) => !isOpen(route)),
    }),
    orderOfRescue: () => undefined,
    whyShut: () => '',
    asked: () => undefined,
    check(_model, target, sample) {
      const isLost = state.recovering.has(target as Route) && sample !== 'admitted';
      return isOpen(target) && !isLost
        ? { kind: 'yes' }
        : { kind: 'no', until: 9999, why: 'limited' };
    },
    isLastResort: () => state.lastResort,
    take: () => state.grant ?? yes,
    key: () => ({
      apiKey: 'sk-1',
      index: 0,
      used: (_headers, status) => told.push(`key used ${status}`),
      failed: () => {},
      end: () => told.push('key ended'),
      hasOther: () => state.otherKey,
    }),
    goBack: () => true,
    queue: () => ({
      isBehind: (target) => state.behind.has(target as Route),
      wait: async (request) => {
        state.waits.push(request);
        return { kind: 'retry', open: [...state.won] };
      },
      admitted: () => told.push('waiter admitted'),
      abandon: () => told.push('waiter abandoned'),
    }),
  };
  const health: TargetAccessOptions['health'] = {
    started: (target) => {
      told.push(`started ${target.model}`);
      return (news) => {
        const ms = news.kind === 'ok' ? news.firstTokenMs : undefined;
        told.push(news.kind === 'fault' ? news.fault.code : `${news.kind}${ms ? ` in ${ms}` : ''}`);
      };
    },
    stateOf(target) {
      if (state.broken.has(target as Route)) return 'open';
      return state.halfOpen.has(target as Route) ? 'half-open' : 'closed';
    },
    claimProbe: async () => state.mayProbe,
  };
  const access = createTargetAccess({
    selection,
    health,
    reserve() {
      state.reserved += 1;
      return () => (state.reserved -= 1);
    },
    now: () => state.now,
  })({
    model: 'm',
    routes,
    body: '{}',
    signal: new AbortController().signal,
  });
  const names = (list: readonly Route[]) => list.map(({ model }) => model);
  return {
    access,
    state,
    told,
    look: (urgent = false) => {
      const { open: may, shut } = access.candidates(urgent);
      return { open: names(may), shut: names(shut) };
    },
  };
}

async function permitOf(entered: ReturnType<ReturnType<typeof open>['access']['acquire']>) {
  const permit = await entered;
  if (!permit) throw new Error('refused');
  return permit;
}

const play = (permit: Permit, outcome: AttemptOutcome, ms?: number): void => {
  const watch = permit.begin();
  watch.head(200, {});
  if (ms !== undefined) watch.firstToken(ms);
  watch.ended(outcome);
};

describe('the way to the targets', () => {
  it('keeps a connection for each permit, until its call begins or it is given back', async () => {
    const { access, look, state } = open();
    look();
    const [one, other] = [
      await permitOf(access.acquire(first)),
      await permitOf(access.acquire(first)),
    ];
    expect(state.reserved).toBe(2);
    one.begin();
    expect(state.reserved).toBe(1);
    other.cancel();
    expect(state.reserved).toBe(0);
  });

  it('keeps the order that the request got first, whatever opens and shuts meanwhile', () => {
    const { look, state } = open();
    expect(look()).toEqual({ open: ['second', 'first'], shut: [] });
    state.closed.add(second);
    expect(look()).toEqual({ open: ['first'], shut: ['second'] });
    state.closed.clear();
    expect(look()).toEqual({ open: ['second', 'first'], shut: [] });
  });

  it('is shut for a new request while others wait, and not for one with a reader in mid-answer', () => {
    const waiting = open();
    waiting.state.behind.add(first);
    expect(waiting.look()).toEqual({ open: ['second'], shut: ['first'] });
    const rescue = open();
    rescue.state.behind.add(first);
    expect(rescue.look(true).open).toEqual(['second', 'first']);
  });

  it('is the one that the queue drew a sample for: no second one is drawn', async () => {
    const { access, look, state } = open();
    state.closed.add(first).add(second);
    look();
    state.closed.clear();
    state.recovering.add(first).add(second);
    state.won.add(first);
    await access.wait([first, second], newcomer);
    expect(look()).toEqual({ open: ['first'], shut: ['second'] });
    // What else shuts a target counts as ever.
    state.closed.add(first);
    expect(look().open).toEqual([]);
  });

  it('is waited for with what the request still has a use for, and whether it asked', async () => {
    const { access, look, state } = open();
    look();
    await access.wait([second], inMidAnswer);
    state.broken.add(first);
    await access.acquire(first);
    await access.wait([first, second], newcomer);
    await access.wait([second], newcomer);
    expect(state.waits).toMatchObject([
      { wants: [{ target: second, notBefore: 0 }], urgent: true, hasAsked: false },
      {
        wants: [
          { target: first, notBefore: 1050 },
          { target: second, notBefore: 0 },
        ],
        urgent: false,
        hasAsked: true,
      },
      { wants: [{ target: second, notBefore: 0 }], urgent: false, hasAsked: false },
    ]);
  });

  it('ends its wait when it gets a permit, or asks no target any more', async () => {
    const { access, told } = open();
    await access.acquire(first);
    access.close();
    expect(told).toEqual(['waiter admitted', 'waiter abandoned']);
  });

  it('leads to a broken target only with the right to a probe', async () => {
    const { access, look, state } = open();
    look();
    state.halfOpen.add(first);
    expect(await access.acquire(first)).toBeDefined();
    state.mayProbe = false;
    expect(await access.acquire(first)).toBeUndefined();
    // It is not asked for again at once.
    expect(look()).toEqual({ open: ['second'], shut: ['first'] });
    state.now += 50;
    expect(look().open).toEqual(['second', 'first']);
  });

  it('does not lead to a target at its limit, and the wait knows how long', async () => {
    const { access, look, state } = open();
    look();
    state.grant = Promise.resolve({ kind: 'no', retryAfterMs: 700 });
    expect(await access.acquire(first)).toBeUndefined();
    expect(look().open).toEqual(['second']);
    await access.wait([first], newcomer);
    expect(state.waits).toMatchObject([{ retryAfterMs: 700 }]);
  });

  it('needs nobody else for a target that is well and has no limit', () => {
    const { access } = open();
    expect(access.acquire(first)).not.toBeInstanceOf(Promise);
  });
});

describe('a call tells', () => {
  const usage = { total_tokens: 12 };
  const fault = { code: 'upstream_overloaded', message: 'm' } as const;

  it('its success, with what it used', async () => {
    const { access, told } = open();
    const permit = await permitOf(access.acquire(first));
    expect(permit.apiKey).toBe('sk-1');
    play(permit, { kind: 'completed', finishReason: 'stop', usage }, 5);
    expect(told).toEqual([
      'waiter admitted',
      'started first',
      'key used 200',
      'first-token',
      'key ended',
      'ok',
      'settled {"total_tokens":12}',
    ]);
  });

  it('all of its time as that to the first token, where the answer came as a whole', async () => {
    const { access, state, told } = open();
    const watch = (await permitOf(access.acquire(first))).begin();
    state.now += 800;
    watch.ended({ kind: 'completed', finishReason: 'stop', usage });
    expect(told).toContain('ok in 800');
  });

  it.each([
    ['a refusal, which uses no tokens', { kind: 'fault', fault }, undefined, '{"total_tokens":0}'],
    ['an answer that broke off, whose use nobody knows', { kind: 'fault', fault }, 5, 'undefined'],
  ] as const)('%s', async (_what, outcome, ms, settled) => {
    const { access, told } = open();
    play(await permitOf(access.acquire(first)), outcome, ms);
    expect(told.slice(-3)).toEqual(['key ended', fault.code, `settled ${settled}`]);
  });

  it.each([{ kind: 'aborted' }, { kind: 'superseded' }] as const)(
    'nothing about the target when it was $kind',
    async (outcome) => {
      const { access, told } = open();
      play(await permitOf(access.acquire(first)), outcome);
      expect(told).toContain('void');
    },
  );

  it('nothing at all when it is not made: the key and the limit have it back', async () => {
    const { access, told } = open();
    (await permitOf(access.acquire(first))).cancel();
    expect(told.slice(1)).toEqual(['key ended', 'grant cancelled']);
  });
});

describe('a key that is refused', () => {
  const refusal = (code: FaultCode) => ({ kind: 'fault', fault: { code, message: '' } }) as const;

  it('leaves the target open to another one, and only that', async () => {
    const { access, state } = open();
    play(await permitOf(access.acquire(first)), refusal('upstream_rate_limited'));
    expect(access.hasOtherKey(first)).toBe(false);
    state.otherKey = true;
    expect(access.hasOtherKey(first)).toBe(true);
    expect(access.hasOtherKey(second)).toBe(false);
    play(await permitOf(access.acquire(first)), refusal('upstream_server_error'));
    expect(access.hasOtherKey(first)).toBe(false);
  });

  it('says nothing about the target while another key may be asked', async () => {
    const { access, state, told } = open();
    state.otherKey = true;
    play(await permitOf(access.acquire(first)), refusal('upstream_auth_failed'));
    expect(told).toContain('void');
    expect(told).not.toContain('upstream_auth_failed');
    // What is not about the key counts all the same.
    play(await permitOf(access.acquire(first)), refusal('upstream_server_error'));
    expect(told).toContain('upstream_server_error');
    state.otherKey = false;
    play(await permitOf(access.acquire(first)), refusal('upstream_auth_failed'));
    expect(told).toContain('upstream_auth_failed');
  });
});

it('a target that was given up while the request paused is not entered', async () => {
  const { access, state, look, told } = open();
  look();
  state.broken.add(first);
  expect(await access.acquire(first)).toBeUndefined();
  expect(told).toEqual([]);
  expect(look()).toEqual({ open: ['second'], shut: ['first'] });
});

it('tells when a target opens', () => {
  const { access, state } = open();
  state.closed.add(first);
  expect([access.opensAt(first), access.opensAt(second)]).toEqual([9999, 0]);
});
