import { expect, it } from 'vitest';
import { publicView } from './public-view.ts';
import type { UpstreamState } from './public-view.ts';

it('has public names and units, and leaves the names of providers and models as they are', () => {
  const state = {
    pools: { myProvider: { waitTimeouts: 1, lifetimeMs: { sum: 5, max: 5 } } },
    health: {
      workers: 2,
      targets: [{ provider: 'myProvider', model: 'gptFour', since: 5000, firstTokenMs: 12 }],
    },
    selection: {
      waiting: 0,
      models: { myAlias: { strategy: 'latency', targets: [{ may: { kind: 'no', until: 7000 } }] } },
      keys: {
        myProvider: [{ index: 0, asideUntil: 9000, models: { gptFour: { waitingForHead: 1 } } }],
      },
    },
  };
  expect(publicView(state as unknown as UpstreamState)).toEqual({
    pools: { myProvider: { wait_timeouts: 1, lifetime_ms: { sum: 5, max: 5 } } },
    health: {
      workers: 2,
      targets: [{ provider: 'myProvider', model: 'gptFour', since: 5, first_token_ms: 12 }],
    },
    selection: {
      waiting: 0,
      models: { myAlias: { strategy: 'latency', targets: [{ may: { kind: 'no', until: 7 } }] } },
      keys: {
        myProvider: [{ index: 0, aside_until: 9, models: { gptFour: { waiting_for_head: 1 } } }],
      },
    },
  });
});
