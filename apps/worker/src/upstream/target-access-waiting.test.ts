import type { ModelConfig } from '@millrace/shared/config';
import { createMemoryWindows } from '@millrace/shared/store/quota/memory-windows';
import { expect, it } from 'vitest';
import { createTargetAccess } from './target-access.ts';
import { createClock } from './selection/clock.fixture.ts';
import { unlimitedWaits } from './selection/wait-limits.fixture.ts';
import { createSelection } from './selection/selection.ts';

/* Target access and the queue behind it, of one model: what requests do to each other. */

const well = { provider: 'p', model: 'well', prefill: false };
const broken = { provider: 'p', model: 'broken', prefill: false };
const routes = [well, broken];

const newcomer = { urgent: false, isFresh: true, isDetached: false };

function setUp() {
  const clock = createClock();
  const targets = routes.map((route) => ({ ...route, weight: 1 }));
  const selection = createSelection({
    models: { m: { strategy: 'failover', maxWaitMs: 30_000, targets } as unknown as ModelConfig },
    providers: { p: { api: 'openai', apiKeys: [] } },
    health: {
      admit: ({ model }) => (model === 'broken' ? 'no' : 'yes'),
      isHeld: () => false,
      stateOf: ({ model }) => (model === 'broken' ? 'open' : 'closed'),
      successRate: () => 0,
      nextTryAt: () => 9e15,
      inFlight: () => 0,
      firstTokenMs: () => undefined,
      onAvailable() {},
    },
    prices: () => null,
    windows: createMemoryWindows({ now: clock.now }),
    waiting: 10,
    waitLimits: unlimitedWaits,
    now: clock.now,
    random: () => 0,
    setTimer: clock.setTimer,
    share() {},
    onError(error) {
      throw error;
    },
  });
  const gates = createTargetAccess({
    selection,
    health: { started: () => () => {}, stateOf: () => 'closed', claimProbe: async () => true },
    reserve: () => () => {},
    now: clock.now,
  });
  const open = () =>
    gates({ model: 'm', routes, body: '{}', signal: new AbortController().signal });
  return { clock, selection, open };
}

it('a request that waits for a broken target holds up nobody who goes to the one that is well', async () => {
  const { clock, selection, open } = setUp();
  const usedUp = open();
  usedUp.candidates(false);
  let woken = 0;
  void usedUp.wait([broken], newcomer).then(() => (woken += 1));
  for (let i = 0; i < 20; i++) {
    expect(open().candidates(false)).toEqual({ open: [well], shut: [broken] });
    await clock.pass(100);
  }
  expect([woken, selection.snapshot().waiting]).toEqual([0, 1]);
});
