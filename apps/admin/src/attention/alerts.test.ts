import type { KeptCondition } from '@millrace/shared/store/attention/port';
import { expect, test } from 'vitest';
import { calmMs, changesOf, keepChanges } from './alerts.ts';
import type { Alert } from './alerts.ts';
import type { Condition } from './condition.ts';
import { createLatelyCounter } from './read-state.ts';

const condition = (code: string, changes: Partial<Condition> = {}): Condition => ({
  code,
  subject: '',
  severity: 'warning',
  title: 't',
  detail: 'd',
  link: '/admin',
  ...changes,
});

/** A store in memory, and control planes that look at it. */
function world() {
  const kept = new Map<string, KeptCondition>();
  const alerts: string[] = [];
  let fails = false;
  const store = {
    async write(changes: ReadonlyMap<string, KeptCondition>, removed: readonly string[]) {
      for (const [id, one] of changes) kept.set(id, one);
      for (const id of removed) kept.delete(id);
    },
  };
  const announce = async ({ kind, condition: { code }, firstAt }: Alert) => {
    if (fails) throw new Error('killed');
    alerts.push(`${kind} ${code} ${firstAt}`);
  };
  const look = (now: number, ...codes: string[]) => {
    const found = codes.map((code) => condition(code));
    return keepChanges(store, changesOf(new Map(kept), found, now), announce);
  };
  return { kept, alerts, look, kill: (isDead: boolean) => (fails = isDead) };
}

test('a condition fires once, keeps its beginning, and resolves when it was away for a while', async () => {
  const { look, alerts, kept } = world();
  await look(1000, 'a');
  await look(6000, 'a', 'b');
  expect(kept.get('a')).toMatchObject({ firstAt: 1000, seenAt: 6000 });
  expect(alerts).toEqual(['fired a 1000', 'fired b 6000']);
  await look(6000 + calmMs - 1);
  expect(alerts).toHaveLength(2);
  await look(6000 + calmMs);
  expect(alerts.slice(2)).toEqual(['resolved a 1000', 'resolved b 6000']);
  expect(kept.size).toBe(0);
});

test('a condition that is back before it was over is the same one', async () => {
  const { look, alerts } = world();
  await look(0, 'a');
  await look(5000);
  await look(10_000, 'a');
  await look(20_000);
  expect(alerts).toEqual(['fired a 0']);
  await look(10_000 + calmMs);
  expect(alerts).toEqual(['fired a 0', 'resolved a 0']);
});

test('a condition that fires again since the same time is another alert', () => {
  const found = [condition('a', { sinceAt: 500 })];
  const first = changesOf(new Map(), found, 1000);
  const over = changesOf(first.kept, [], 1000 + calmMs);
  expect(over.removed).toHaveLength(1);
  const second = changesOf(new Map(), found, 40_000);
  expect([...first.alerts, ...over.alerts, ...second.alerts]).toMatchObject([
    { kind: 'fired', firstAt: 500, firedAt: 1000 },
    { kind: 'resolved', firstAt: 500, firedAt: 1000 },
    { kind: 'fired', firstAt: 500, firedAt: 40_000 },
  ]);
});

test('an alert that could not be handed over is handed over by the next look, with the same time', async () => {
  const { look, alerts, kill } = world();
  kill(true);
  await expect(look(1000, 'a')).rejects.toThrow('killed');
  kill(false);
  await look(6000, 'a');
  await look(11_000, 'a');
  expect(alerts).toEqual(['fired a 1000']);
  kill(true);
  await expect(look(11_000 + calmMs)).rejects.toThrow('killed');
  kill(false);
  await look(16_000 + calmMs);
  expect(alerts).toEqual(['fired a 1000', 'resolved a 1000']);
});

test('a counter that never ends is compared with the last minutes only', () => {
  const rise = createLatelyCounter();
  const minute = 60_000;
  expect(rise(100, 0)).toBe(0);
  expect(rise(103, minute)).toBe(3);
  expect(rise(103, 6 * minute)).toBe(3);
  expect(rise(103, 12 * minute)).toBe(0);
  expect(rise(0, 13 * minute)).toBe(0);
});
