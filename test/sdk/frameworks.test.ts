import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { clientNames, ensureFrameworks } from '../kit/frameworks.ts';
import type { Mock } from '../kit/frameworks.ts';

// Frameworks as clients of each API, over providers of their own and of another format; and a mock of providers that others wrote.

/** Milliseconds that include the download. */
const patienceMs = 400_000;

const frameworks = await ensureFrameworks().catch(() => undefined);

/** What each format of the mock needs behind its URL. */
const mocked = { openai: '/v1', 'openai-responses': '/v1', anthropic: '', gemini: '' };
const apis = Object.keys(mocked) as (keyof typeof mocked)[];

/** The mock's own faults. */
const faults = {
  cut: { truncateAfterChunks: 12 },
  error: { chaos: { dropRate: 1 } },
  malformed: { chaos: { malformedRate: 1 } },
  disconnect: { chaos: { disconnectRate: 1 } },
};
const faultNames = Object.keys(faults) as (keyof typeof faults)[];

let fleet: Fleet;
let mock: Mock | undefined;
beforeAll(async () => {
  mock = frameworks && new frameworks.Mock({ port: 0, chunkSize: 8 });
  await mock?.start();
  const content = expectedText({ tokens: 60 });
  // Without these, some of its formats have zeros, others the length of the text.
  const usage = { input_tokens: 3, output_tokens: 60, total_tokens: 63 };
  mock?.on({ model: 'whole' }, { content, usage });
  for (const name of faultNames) mock?.on({ model: name }, { content }, faults[name]);
  const providers = apis.map((api) => [
    `mock-${api}`,
    {
      api,
      baseUrl: `${mock?.url ?? fakeUrl}${mocked[api]}`,
      breaker: { enabled: false },
      check: { kind: 'off' },
    },
  ]);
  const mockModels = apis.flatMap((api) => [
    [`${api} whole`, { targets: [{ provider: `mock-${api}`, model: 'whole' }] }],
    ...faultNames.map((name) => [
      `${api} ${name}`,
      {
        targets: [
          { provider: `mock-${api}`, model: name },
          { provider: 'backup', model: 'prefill', prefill: true },
        ],
      },
    ]),
  ]);
  const cut = (first: string, next: string) => ({
    targets: [
      { provider: first, model: 'cut:after=40' },
      { provider: next, model: 'prefill', prefill: true },
    ],
  });
  fleet = await startFleet({
    config: { providers: Object.fromEntries(providers) },
    models: {
      ...Object.fromEntries(mockModels),
      text: 'healthy:tokens=30',
      tools: 'tools',
      'cut, same format': cut('primary', 'backup'),
      'cut, other format': cut('primary-anthropic', 'backup'),
    },
  });
}, patienceMs);
afterAll(async () => {
  await fleet.close();
  await mock?.stop();
});

const fakeUrl = 'http://127.0.0.1:9';

describe.skipIf(frameworks === undefined).each(clientNames)('%s', (name) => {
  const ask = async (model: string) => {
    const told = await frameworks?.clients[name](fleet.url, model);
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

describe.skipIf(frameworks === undefined).each(apis)('a mock of providers, %s', (api) => {
  it.each(['whole', ...faultNames])('%s', async (name) => {
    const before = fleet.backup.requests.length;
    const told = await frameworks?.clients['OpenAI Agents, chat'](fleet.url, `${api} ${name}`);
    expect(told).toMatchObject({ text: expectedText({ tokens: 60 }), finishes: ['done'] });
    expect(told?.output).toBeGreaterThan(0);
    expect(fleet.backup.requests.length - before).toBe(name === 'whole' ? 0 : 1);
  });
});
