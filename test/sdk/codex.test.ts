import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ensureAgent, runCodex } from '../kit/agents.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, jsonOf } from '../kit/http.ts';

// Codex does a task with its shell, in print mode, while a provider breaks off and a worker is killed. The model has providers
// of two formats, so its answers also change formats in the middle.

/** Milliseconds that include the download. */
const patienceMs = 400_000;

const program = await ensureAgent('codex').catch(() => undefined);

let fleet: Fleet;
beforeAll(async () => {
  const model = {
    targets: [
      { provider: 'primary-responses', model: 'cut:after=3,say=tools,pace=20' },
      { provider: 'backup', model: 'tools:pace=60' },
    ],
  };
  fleet = await startFleet({ admin: true, models: { http: model, websocket: model } });
});
afterAll(() => fleet.close());

test.skipIf(program === undefined).each([
  ['over HTTP', 'http'],
  ['over a WebSocket', 'websocket'],
])(
  'Codex finishes its task %s while a provider is cut and a worker is killed under it',
  { timeout: patienceMs },
  async (_, name) => {
    const overWebSocket = name === 'websocket';
    const kill = async (): Promise<string> => {
      // The answer after the tool's result.
      const { body } = await fleet.backup.waitFor(
        (request) => request.state === 'open' && JSON.stringify(request.body).includes('"tool"'),
      );
      await fleet.killWorkers();
      await fleet.addWorker();
      return JSON.stringify(body);
    };
    const killed = kill();
    const run = await runCodex(program ?? '', {
      url: fleet.url,
      model: name,
      prompt: 'Do the task.',
      overWebSocket,
    });
    expect(run).toMatchObject({ code: 0, runs: 1 });
    const hasClosed = async () => {
      const { text } = await call(`${fleet.url}/metrics`);
      return /^millrace_websocket_ends_total\{reason="(client|lost)"\} [1-9]/m.test(text);
    };
    await expect.poll(hasClosed).toBe(overWebSocket);
    const items = run.stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { type: string; item?: { type: string; text?: string } });
    expect(items.at(-1)?.type).toBe('turn.completed');
    const messages = items.filter(({ item }) => item?.type === 'agent_message');
    expect(messages.map(({ item }) => item?.text)).toEqual([expectedText({ tokens: 60 })]);
    expect(await killed).toContain('"role":"tool"');
    const outcomes = async () => {
      const { data } = jsonOf(await call(`${fleet.url}/admin/requests?model=${name}`)) as {
        data: { attempts: { outcome: string }[] }[];
      };
      return data.map(({ attempts }) => attempts.map(({ outcome }) => outcome).join(' '));
    };
    await expect.poll(outcomes).toContainEqual(expect.stringContaining('worker_lost'));
    expect(await outcomes()).toContainEqual(expect.stringContaining('upstream_'));
  },
);
