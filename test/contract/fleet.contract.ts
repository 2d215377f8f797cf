import type { Fact, Fleet, FleetSubscription } from '@millrace/shared/store/gossip/port';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { FleetUnderTest } from './fleet-adapters.ts';

type Ear = { texts: string[]; readonly times: number; subscription: FleetSubscription };

/** Listens, from the moment that it returns. */
async function listen(fleet: Fleet): Promise<Ear> {
  const texts: string[] = [];
  let times = 0;
  const subscription = fleet.subscribe({
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

async function factsOf(fleet: Fleet): Promise<Record<string, string>> {
  const outcome = await expectAnswer(() => fleet.facts());
  const facts: ReadonlyMap<string, Fact> = outcome.kind === 'facts' ? outcome.facts : new Map();
  return Object.fromEntries([...facts].map(([field, { text }]) => [field, text]));
}

/** Until it is connected a fleet answers `away`. */
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

async function expectVersion(outcome: ReturnType<Fleet['setFact']>): Promise<string> {
  const set = await outcome;
  expect(set.kind).toBe('set');
  return (set.kind === 'set' && set.version) || '';
}

/** What every adapter promises: one test for each promise of the port. */
export function fleetContract(open: () => FleetUnderTest): void {
  async function pair(): Promise<{ under: FleetUnderTest; one: Fleet; two: Fleet }> {
    const under = open();
    const [one, two] = [under.join('one'), under.join('two')];
    for (const fleet of [one, two]) await expectAnswer(() => fleet.facts());
    return { under, one, two };
  }

  describe('a text', () => {
    it('is heard by everyone who listens, the teller too, in the order of the teller', async () => {
      const { one, two } = await pair();
      const [near, far] = [await listen(one), await listen(two)];
      for (const text of ['a', 'Grüße 🌍\n', 'c']) one.publish(text);
      for (const ear of [near, far]) {
        await expect.poll(() => ear.texts).toEqual(['a', 'Grüße 🌍\n', 'c']);
      }
      expect(one.counters()).toEqual({ published: 3, dropped: 0 });
    });

    it('is not heard after the subscription was closed', async () => {
      const { one, two } = await pair();
      const [near, far] = [await listen(one), await listen(two)];
      near.subscription.close();
      one.publish('a');
      await expect.poll(() => far.texts).toEqual(['a']);
      expect(near.texts).toEqual([]);
    });
  });

  describe('a fact', () => {
    it('is there for whoever comes later', async () => {
      const { under, one } = await pair();
      await one.setFact('x', 'first line\nand ü', undefined);
      await one.setFact('y', '', undefined);
      expect(await factsOf(under.join('late'))).toEqual({ x: 'first line\nand ü', y: '' });
    });

    it('is changed by who saw the newest, and by nobody else', async () => {
      const { one, two } = await pair();
      const first = await expectVersion(one.setFact('x', 'a', undefined));
      const second = await expectVersion(two.setFact('x', 'b', first));
      const seen = { text: 'b', version: second };
      expect(await one.setFact('x', 'c', first)).toEqual({ kind: 'changed', fact: seen });
      expect(await one.setFact('x', 'c', undefined)).toEqual({ kind: 'changed', fact: seen });
      expect(await one.clearFact('x', first)).toEqual({ kind: 'changed', fact: seen });
      expect(await factsOf(one)).toEqual({ x: 'b' });
      expect(second).not.toBe(first);
    });

    it('that was removed is gone, and can be set by who saw that', async () => {
      const { one, two } = await pair();
      const first = await expectVersion(one.setFact('x', 'a', undefined));
      expect(await two.clearFact('x', first)).toEqual({ kind: 'set', version: undefined });
      expect(await factsOf(one)).toEqual({});
      expect(await one.setFact('x', 'b', first)).toEqual({ kind: 'changed', fact: undefined });
      await expectVersion(one.setFact('x', 'c', undefined));
      expect(await factsOf(two)).toEqual({ x: 'c' });
    });

    it('that is not there is removed without a word', async () => {
      const { one } = await pair();
      expect(await one.clearFact('x', undefined)).toEqual({ kind: 'set', version: undefined });
    });

    it('that two set at once is set by one of them', async () => {
      const { one, two } = await pair();
      const outcomes = await Promise.all([
        one.setFact('x', 'a', undefined),
        two.setFact('x', 'b', undefined),
      ]);
      expect(outcomes.map(({ kind }) => kind).toSorted()).toEqual(['changed', 'set']);
    });
  });

  describe('a lease', () => {
    it('has one owner, who may renew it', async () => {
      const { one, two } = await pair();
      expect(await one.claim('a', 60_000)).toBe('claimed');
      expect(await two.claim('a', 60_000)).toBe('taken');
      expect(await one.claim('a', 60_000)).toBe('claimed');
      expect(await two.claim('b', 60_000)).toBe('claimed');
    });

    it('is given back by its owner only', async () => {
      const { one, two } = await pair();
      await one.claim('a', 60_000);
      await two.release('a');
      expect(await two.claim('a', 60_000)).toBe('taken');
      await one.release('a');
      expect(await two.claim('a', 60_000)).toBe('claimed');
    });

    it('runs out', async () => {
      const { one, two } = await pair();
      await one.claim('a', 30);
      await expect.poll(() => two.claim('a', 60_000)).toBe('claimed');
      expect(await one.claim('a', 60_000)).toBe('taken');
    });
  });

  describe('while nothing shared can be reached', () => {
    it('every question is answered so, and what is told is dropped and counted', async () => {
      const { under, one } = await pair();
      const ear = await listen(one);
      await under.cut();
      one.publish('lost');
      expect(await one.facts()).toEqual({ kind: 'away' });
      expect(await one.setFact('x', 'a', undefined)).toEqual({ kind: 'away' });
      expect(await one.clearFact('x', undefined)).toEqual({ kind: 'away' });
      expect(await one.claim('a', 60_000)).toBe('away');
      await one.release('a');
      expect(one.counters()).toEqual({ published: 0, dropped: 1 });

      await under.mend();
      await expect.poll(() => ear.times).toBe(2);
      expect(await factsOf(one)).toEqual({});
      one.publish('back');
      await expect.poll(() => ear.texts).toEqual(['back']);
    });

    it('facts and leases stay', async () => {
      const { under, one, two } = await pair();
      await one.setFact('x', 'a', undefined);
      await one.claim('a', 600_000);
      await under.cut();
      await under.mend();
      expect(await factsOf(two)).toEqual({ x: 'a' });
      expect(await two.claim('a', 600_000)).toBe('taken');
    });
  });
}
