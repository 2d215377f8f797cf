import { expect, it } from 'vitest';
import { createRefusals } from './refusals.ts';

it('every refusal is counted; the log has one line of a kind in a while', () => {
  const counted: unknown[] = [];
  const logged: unknown[] = [];
  const clock = { now: 0 };
  const refuse = createRefusals(
    { refused: (reason, key) => counted.push([reason, key]) },
    { warn: (fields: unknown) => logged.push(fields) },
    () => clock.now,
  );
  for (let i = 0; i < 3; i++) refuse({ reason: 'requests', keyId: 'a', address: '::1' });
  refuse({ reason: 'requests', keyId: 'b' });
  clock.now += 10_000;
  refuse({ reason: 'requests', keyId: 'a', address: '::2' });
  expect(counted).toEqual(['a', 'a', 'a', 'b', 'a'].map((key) => ['requests', key]));
  expect(logged).toMatchObject([
    { reason: 'requests', key: 'a', address: '::1', before: 0 },
    { reason: 'requests', key: 'b', before: 0 },
    { reason: 'requests', key: 'a', address: '::2', before: 2 },
  ]);
});
