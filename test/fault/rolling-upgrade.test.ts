import { describe, expect, test } from 'vitest';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, askWhole, createJob, follow } from '../kit/client.ts';
import { exchange } from '../kit/exchange.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { expectWhole, readStory } from '../kit/judge.ts';
import { expectRequests } from '../kit/ledger.ts';
import { previousRelease } from '../kit/previous-release.ts';

// A fleet of the previous release is replaced process by process while clients use it, and then put back. Processes of both
// releases share its queue, its logs, its reports and its ledger all the time.
const previous = await previousRelease();

const text = expectedText({ tokens: 40 });
const model = 'healthy:tokens=40,pace=20';
const models = {
  steady: { targets: ['primary', 'backup'].map((provider) => ({ provider, model })) },
};

const parts = ['workers', 'ingresses', 'admins'] as const;
type Part = (typeof parts)[number];

describe.skipIf(previous === undefined)('a rolling upgrade, and then a downgrade', () => {
  // Workers first both times: so each release's workers serve the other one's ingresses.
  test('breaks no stream and fails no request', async () => {
    await using fleet = await startFleet({
      release: previous,
      workers: 2,
      ingresses: 2,
      admin: true,
      models,
      // Time for a load balancer to see that an ingress stops.
      config: { drainDelay: '500ms' },
    });
    const clients = startClients(fleet);
    for (const release of [undefined, previous]) {
      fleet.release = release;
      for (const part of parts) await replaceAll(fleet, part, clients);
      // Each API is used once more by this state of the fleet.
      await clients.turns(apis.length);
    }
    const sent = await clients.stop();

    expect(sent.length).toBeGreaterThanOrEqual(2 * apis.length);
    const rows = await expectRequests(fleet, sent.length);
    expect(rows.filter(({ status }) => status !== 'completed')).toEqual([]);
  });
});

/**
 * Starts one of the new release for each of the old one, which then drains. The first of the workers is killed instead, so that
 * the other release continues what it began.
 */
async function replaceAll(fleet: Fleet, part: Part, clients: Clients): Promise<void> {
  const add = { workers: fleet.addWorker, ingresses: fleet.addIngress, admins: fleet.addAdmin };
  // Two control planes would want one database file.
  const stopFirst = part === 'admins';
  for (const [index, old] of [...fleet[part]].entries()) {
    if (!stopFirst) await add[part]();
    fleet[part].splice(fleet[part].indexOf(old), 1);
    const isKilled = part === 'workers' && index === 0;
    const before = clients.begun();
    const code = await old.stop(isKilled ? 'SIGKILL' : 'SIGTERM');
    expect(code, `${part}: ${old.stderr()}`).toBe(isKilled ? null : 0);
    if (stopFirst) await add[part]();
    await clients.turns(1, before);
  }
}

type Clients = {
  /** How many requests were sent so far. */
  begun(): number;
  /** Resolves when so many more were sent and answered than were sent before. */
  turns(count: number, since?: number): Promise<void>;
  /** Waits for all that were sent; how each was sent. Rejects if one of them failed. */
  stop(): Promise<string[]>;
};

type Ask = (url: string, other: string) => Promise<void>;

const apis: [name: string, Ask][] = [
  ['chat', async (url) => void (await expectWhole(ask(url, 'steady'), text))],
  [
    'whole',
    async (url) => {
      const { status, text: body } = await askWhole(url, 'steady').ended;
      expect({ status, body }).toMatchObject({ status: 200 });
      expect(JSON.parse(body).choices[0].message.content).toBe(text);
    },
  ],
  [
    'job',
    // Created at one ingress and read at another, perhaps of the other release.
    async (url, other) => {
      const job = follow(other, await createJob(url, 'steady'));
      await job.ended;
      expect(readStory(job.events)).toMatchObject({ end: 'done', text, takenBack: [] });
    },
  ],
  [
    'messages',
    async (url) => {
      const body = { model: 'steady', max_tokens: 500, messages, stream: true };
      const events = await readEvents(`${url}/v1/messages`, body);
      expect(textOf(events, 'content_block_delta', ({ delta }) => delta.text)).toBe(text);
      expect(events.at(-1)?.type).toBe('message_stop');
    },
  ],
  [
    'responses',
    async (url) => {
      const events = await readEvents(`${url}/v1/responses`, {
        model: 'steady',
        input: 'hello',
        stream: true,
      });
      expect(textOf(events, 'response.output_text.delta', ({ delta }) => delta)).toBe(text);
      expect(events.at(-1)?.type).toBe('response.completed');
      const numbers = events.map(({ sequence_number: number }) => number);
      expect(numbers).toEqual(numbers.map((_, index) => index));
    },
  ],
];

const messages = [{ role: 'user', content: 'hello' }];

// oxlint-disable-next-line typescript/no-explicit-any -- events of three formats, each read by its test
type AnyEvent = Record<string, any>;

async function readEvents(url: string, body: unknown): Promise<AnyEvent[]> {
  const {
    status,
    events,
    text: all,
  } = await exchange(url, { method: 'POST', body }, (ended) => ended).ended;
  expect({ status, all }).toMatchObject({ status: 200 });
  return events.map(({ data }) => JSON.parse(data) as AnyEvent);
}

const textOf = (events: AnyEvent[], type: string, read: (event: AnyEvent) => string): string =>
  events
    .filter((event) => event['type'] === type)
    .map(read)
    .join('');

/** One client for each API, which sends one request after the other to the ingresses in turn. */
function startClients(fleet: Fleet): Clients {
  const sent: string[] = [];
  const failures: string[] = [];
  let answered = 0;
  let isStopped = false;
  const turnOf = (list: readonly RoleProcess[], turn: number) =>
    list[turn % list.length]?.url ?? '';
  const loops = apis.map(async ([name, use]) => {
    for (let turn = 0; !isStopped && failures.length === 0; turn += 1) {
      const { ingresses } = fleet;
      const [url, other] = [turnOf(ingresses, turn), turnOf(ingresses, turn + 1)];
      sent.push(`${name} at ${url}`);
      await use(url, other).catch((error: Error) => {
        failures.push(`${name} at ${url} of ${ingresses.length}: ${error.message}`);
      });
      answered += 1;
    }
  });
  return {
    begun: () => sent.length,
    async turns(count, since = sent.length) {
      await expect
        .poll(() => failures.length > 0 || answered >= since + count, { timeout: 30_000 })
        .toBe(true);
      expect(failures).toEqual([]);
    },
    async stop() {
      isStopped = true;
      await Promise.all(loops);
      expect(failures).toEqual([]);
      return sent;
    },
  };
}
