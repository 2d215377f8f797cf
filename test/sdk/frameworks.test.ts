import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { clientNames, ensureFrameworks } from '../kit/frameworks.ts';

// Frameworks as clients of each API, over providers of their own and of another format.

/** Milliseconds that include the download. */
const patienceMs = 400_000;

const clients = await ensureFrameworks().catch(() => undefined);

let fleet: Fleet;
beforeAll(async () => {
  const cut = (first: string, next: string) => ({
    targets: [
      { provider: first, model: 'cut:after=40' },
      { provider: next, model: 'prefill', prefill: true },
    ],
  });
  fleet = await startFleet({
    models: {
      text: 'healthy:tokens=30',
      tools: 'tools',
      'cut, same format': cut('primary', 'backup'),
      'cut, other format': cut('primary-anthropic', 'backup'),
    },
  });
}, patienceMs);
afterAll(() => fleet.close());

describe.skipIf(clients === undefined).each(clientNames)('%s', (name) => {
  const ask = async (model: string) => {
    const told = await clients?.[name](fleet.url, model);
    expect(told?.output).toBeGreaterThan(0);
    return told;
  };

  it('reads a stream with one end and its usage', async () => {
    const told = await ask('text');
    expect(told).toMatchObject({ text: expectedText({ tokens: 30 }), output: 30, cities: [] });
    expect(told?.finishes).toHaveLength(1);
  });

  it('calls a tool and goes on with its result', async () => {
    const told = await ask('tools');
    expect(told).toMatchObject({ text: expectedText({ tokens: 60 }), cities: ['simulated'] });
    expect(told?.finishes).toHaveLength(2);
  });

  it.each(['same format', 'other format'])('reads a cut answer whole, %s', async (which) => {
    const told = await ask(`cut, ${which}`);
    expect(told).toMatchObject({ text: expectedText({ tokens: 60 }), cities: [] });
    expect(told?.finishes).toHaveLength(1);
  });
});
