import type { SharedState, Gossip, GossipSubscription } from '@millrace/shared/store/gossip/port';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { GossipUnderTest } from './gossip-adapters.ts';

type Listener = { texts: string[]; readonly times: number; subscription: GossipSubscription };

/** Listens, from the moment that it returns. */
async function listen(gossip: Gossip): Promise<Listener> {
  const texts: string[] = [];
  let times = 0;
  const subscription = gossip.subscribe({
    onText: (text) => texts.push(text),
    onListening: () => (times += 1),
  });
  onTestFinished(() => subscription.close());
  await expect.poll(() => times).toBe(1);
  return {
    texts,
    subscription,
    get times() {
      return times;
    },
  };
}

async function statesOf(gossip: Gossip): Promise<Record<string, string>> {
  const outcome = await expectAnswer(() => gossip.states());
  const states: ReadonlyMap<string, SharedState> =
    outcome.kind === 'states' ? outcome.states : new Map();
  return Object.fromEntries([...states].map(([field, { text }]) => [field, text]));
}

/** Until it is connected the gossip answers `away`. */
async function expectAnswer<T extends { kind: string }>(ask: () => Promise<T>): Promise<T> {
  let outcome = await ask();
  await expect
    .poll(async () => {
      if (outcome.kind === 'away') outcome = await ask();
      return outcome.kind;
    })
    .not.toBe('away');
  return outcome;
}

async function expectVersion(outcome: ReturnType<Gossip['setState']>): Promise<string> {
  const set = await outcome;
  expect(set.kind).toBe('set');
  return (set.kind === 'set' && set.version) || '';
}

/** What every adapter promises: one test for each promise of the port. */
export function gossipContract(open: () => GossipUnderTest): void {
  async function pair(): Promise<{ under: GossipUnderTest; one: Gossip; two: Gossip }> {
    const under = open();
    const [one, two] = [under.join('one'), under.join('two')];
    for (const gossip of [one, two]) await expectAnswer(() => gossip.states());
    return { under, one, two };
  }

  describe('a text', () => {
    it('reaches every listener, the sender too, in the order in which it was sent', async () => {
      const { one, two } = await pair();
      const [near, far] = [await listen(one), await listen(two)];
      for (const text of ['a', 'Grüße 🌍\n', 'c']) one.publish(text);
      for (const listener of [near, far]) {
        await expect.poll(() => listener.texts).toEqual(['a', 'Grüße 🌍\n', 'c']);
      }
      expect(one.counters()).toEqual({ published: 3, dropped: 0 });
    });

    it('does not reach a closed subscription', async () => {
      const { one, two } = await pair();
      const [near, far] = [await listen(one), await listen(two)];
      near.subscription.close();
      one.publish('a');
      await expect.poll(() => far.texts).toEqual(['a']);
      expect(near.texts).toEqual([]);
    });
  });

  describe('a shared state', () => {
    it('is there for a worker that joins later', async () => {
      const { under, one } = await pair();
      await one.setState('x', 'first line\nand ü', undefined);
      await one.setState('y', '', undefined);
      expect(await statesOf(under.join('late'))).toEqual({ x: 'first line\nand ü', y: '' });
    });

    it('is changed only by a worker that has seen the newest version', async () => {
      const { one, two } = await pair();
      const first = await expectVersion(one.setState('x', 'a', undefined));
      const second = await expectVersion(two.setState('x', 'b', first));
      const seen = { text: 'b', version: second };
      expect(await one.setState('x', 'c', first)).toEqual({ kind: 'changed', state: seen });
      expect(await one.setState('x', 'c', undefined)).toEqual({ kind: 'changed', state: seen });
      expect(await one.clearState('x', first)).toEqual({ kind: 'changed', state: seen });
      expect(await statesOf(one)).toEqual({ x: 'b' });
      expect(second).not.toBe(first);
    });

    it('that was removed is gone, and can be set by a worker that has seen that', async () => {
      const { one, two } = await pair();
      const first = await expectVersion(one.setState('x', 'a', undefined));
      expect(await two.clearState('x', first)).toEqual({ kind: 'set', version: undefined });
      expect(await statesOf(one)).toEqual({});
      expect(await one.setState('x', 'b', first)).toEqual({ kind: 'changed', state: undefined });
      await expectVersion(one.setState('x', 'c', undefined));
      expect(await statesOf(two)).toEqual({ x: 'c' });
    });

    it('that does not exist is removed without an error', async () => {
      const { one } = await pair();
      expect(await one.clearState('x', undefined)).toEqual({ kind: 'set', version: undefined });
    });

    it('that two workers set at once is set by one of them', async () => {
      const { one, two } = await pair();
      const outcomes = await Promise.all([
        one.setState('x', 'a', undefined),
        two.setState('x', 'b', undefined),
      ]);
      expect(outcomes.map(({ kind }) => kind).toSorted()).toEqual(['changed', 'set']);
    });
  });

  describe('a lease', () => {
    it('has one owner, which may renew it', async () => {
      const { one, two } = await pair();
      expect(await one.claim('a', 60_000)).toBe('claimed');
      expect(await two.claim('a', 60_000)).toBe('taken');
      expect(await one.claim('a', 60_000)).toBe('claimed');
      expect(await two.claim('b', 60_000)).toBe('claimed');
    });

    it('is released by its owner only', async () => {
      const { one, two } = await pair();
      await one.claim('a', 60_000);
      await two.release('a');
      expect(await two.claim('a', 60_000)).toBe('taken');
      await one.release('a');
      expect(await two.claim('a', 60_000)).toBe('claimed');
    });

    it('expires', async () => {
      const { one, two } = await pair();
      await one.claim('a', 30);
      await expect.poll(() => two.claim('a', 60_000)).toBe('claimed');
      expect(await one.claim('a', 60_000)).toBe('taken');
    });
  });

  describe('while Redis cannot be reached', () => {
    it('every call answers `away`, and texts are dropped and counted', async () => {
      const { under, one } = await pair();
      const listener = await listen(one);
      await under.disconnect();
      one.publish('lost');
      expect(await one.states()).toEqual({ kind: 'away' });
      expect(await one.setState('x', 'a', undefined)).toEqual({ kind: 'away' });
      expect(await one.clearState('x', undefined)).toEqual({ kind: 'away' });
      expect(await one.claim('a', 60_000)).toBe('away');
      await one.release('a');
      expect(one.counters()).toEqual({ published: 0, dropped: 1 });

      await under.reconnect();
      await expect.poll(() => listener.times).toBe(2);
      expect(await statesOf(one)).toEqual({});
      one.publish('back');
      await expect.poll(() => listener.texts).toEqual(['back']);
    });

    it('shared states and leases stay', async () => {
      const { under, one, two } = await pair();
      await one.setState('x', 'a', undefined);
      await one.claim('a', 600_000);
      await under.disconnect();
      await under.reconnect();
      expect(await statesOf(two)).toEqual({ x: 'a' });
      expect(await two.claim('a', 600_000)).toBe('taken');
    });
  });
}
