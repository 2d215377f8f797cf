import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeGossip, isGossipOf, newTargetCounters, parseGossip } from './gossip-message.ts';
import type { GossipMessage, TargetCounters } from './gossip-message.ts';
import { targetKey, targetOfKey } from '@millrace/shared/domain/target-key';

const now = 1_800_000_000_000;
const counts = fc.nat({ max: 1e9 });
const tallies = fc.record<TargetCounters>({
  inFlight: counts,
  ok: counts,
  failed: counts,
  row: counts,
  tokenMs: counts,
  tokens: counts,
  checksOk: counts,
  checksFailed: counts,
  retryAt: fc.oneof(fc.constant(0), fc.integer({ min: now + 1, max: now + 60_000 })),
});

describe('a gossip message', () => {
  test('says what its worker meant', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.boolean(),
        fc.dictionary(fc.string(), tallies),
        (worker, whole, said) => {
          const message: GossipMessage = {
            worker,
            whole,
            tallies: Object.entries(said),
            states: [],
          };
          const text = encodeGossip(message, now);
          expect(parseGossip(text, now)).toEqual(message);
          expect(isGossipOf(text, worker)).toBe(true);
          expect(isGossipOf(text, `${worker}1`)).toBe(false);
        },
      ),
    );
  });

  test('of a worker of another version is read as far as it makes sense, and never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        parseGossip(text, now);
        parseGossip(`pulse ${text}`, now);
        const inside = parseGossip(`pulse {"worker":"w","tallies":{"t":${text}},"states":7}`, now);
        expect([...(inside?.states ?? [])]).toEqual([]);
      }),
    );
    const strange = { good: Object.values(newTargetCounters()), bad: [1, -1], worse: 'x' };
    const states = {
      future: { epoch: 1, by: 'w', state: { kind: 'recovering', since: 5000, times: 1e9 } },
      far: { epoch: 1, by: 'w', state: { kind: 'open', until: 1e15, times: 0, cause: 'moon' } },
      unknown: { epoch: 1, by: 'w', state: { kind: 'ajar' } },
      early: { epoch: -1, by: 'w', state: { kind: 'closed' } },
    };
    const read = parseGossip(
      `pulse ${JSON.stringify({ worker: 'w', tallies: strange, states })}`,
      now,
    );
    expect([...(read?.tallies ?? [])].map(([key]) => key)).toEqual(['good']);
    expect(Object.fromEntries(read?.states ?? [])).toEqual({
      future: { epoch: 1, by: 'w', state: { kind: 'recovering', since: now, times: 100 } },
      far: {
        epoch: 1,
        by: 'w',
        state: { kind: 'open', until: now + 2_400_000, times: 1, cause: 'calls' },
      },
    });
  });
});

test('every target has a key of its own, from which it can be read', () => {
  const names = fc.oneof(fc.string(), fc.constantFrom('a/b', 'a%2Fb', '%', '/', ''));
  fc.assert(
    fc.property(names, names, (provider, model) => {
      expect(targetOfKey(targetKey({ provider, model }))).toEqual({ provider, model });
    }),
  );
  expect(targetKey({ provider: 'openai', model: 'a/b' })).toBe('openai/a/b');
});
