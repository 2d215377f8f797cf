import type { NewAuditEntry } from '@millrace/shared/store/audit/audit-writer';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { countForMs, createRefusedKeys, maxKinds } from './refused-keys.ts';
import type { RefusedKeys } from './refused-keys.ts';

let entries: NewAuditEntry[];
let refusedKeys: RefusedKeys;
beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse('2026-11-30T12:00:00Z') });
  entries = [];
  const record = async (entry: NewAuditEntry) => entries.push(entry) > 0;
  refusedKeys = createRefusedKeys({ audit: { record }, actor: 'ingress-1' });
});
afterEach(() => {
  vi.useRealTimers();
});

const refuse = (reason: string, address: string, keyId?: string) =>
  refusedKeys.note({ reason, address, keyId });
const minute = () => vi.advanceTimersByTimeAsync(countForMs);

test('refused secrets of one address become one entry a minute, whatever their number', async () => {
  for (let i = 0; i < 1000; i += 1) refuse('unknown_key', '10.0.0.1');
  refuse('revoked_key', '10.0.0.1', 'team-a');
  expect(entries).toEqual([]);
  await minute();
  expect(entries).toMatchObject([
    {
      actor: 'ingress-1',
      address: '10.0.0.1',
      action: 'key.refused',
      outcome: 'unknown_key',
      detail: { refused: 1000, until: '2026-11-30T12:00:00.000Z' },
    },
    { target: 'team-a', outcome: 'revoked_key', detail: { refused: 1 } },
  ]);
  await minute();
  expect(entries).toHaveLength(2);
});

test('an attack from many addresses writes a bounded number of entries, and counts every refusal', async () => {
  for (let i = 0; i < 500; i += 1) refuse('unknown_key', `10.0.1.${i % 250}`);
  await minute();
  expect(entries.length).toBeLessThanOrEqual(maxKinds + 1);
  const counts = entries.map(({ detail }) => Number(detail?.['refused']));
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(500);
  expect(entries.at(-1)).toMatchObject({ address: undefined, outcome: 'unknown_key' });
});

test('refusals of many keys without an address are bounded, too', async () => {
  for (let i = 0; i < 500; i += 1) refusedKeys.note({ reason: 'old_secret', keyId: `key-${i}` });
  await minute();
  expect(entries.length).toBeLessThanOrEqual(maxKinds + 1);
  expect(entries.at(-1)).toMatchObject({ target: undefined, outcome: 'old_secret' });
});

test('a stop waits for the entries that a timer began to write', async () => {
  const held = Promise.withResolvers<void>();
  const written: NewAuditEntry[] = [];
  const slow = createRefusedKeys({
    actor: 'ingress-1',
    audit: {
      async record(entry) {
        await held.promise;
        return written.push(entry) > 0;
      },
    },
  });
  slow.note({ reason: 'unknown_key', address: '10.0.0.1' });
  await minute();
  const stopped = slow.flush();
  held.resolve();
  await stopped;
  expect(written).toHaveLength(1);
});

test('addresses of one IPv6 network are counted as one', async () => {
  refuse('unknown_key', '2001:db8:1:2::1');
  refuse('unknown_key', '2001:db8:1:2:ffff::7');
  await minute();
  expect(entries).toMatchObject([{ address: '2001:db8:1:2::/64', detail: { refused: 2 } }]);
});

test('a rejection that refuses no secret is not recorded', async () => {
  for (const reason of ['no_key', 'queue_full', 'rate_limited']) refuse(reason, '10.0.0.1');
  await refusedKeys.flush();
  expect(entries).toEqual([]);
});
