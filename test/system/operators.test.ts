import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { chat } from '../kit/api.ts';
import { runCli } from '../kit/cli.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, jsonOf } from '../kit/http.ts';
import type { SendOptions } from '../kit/http.ts';
import { openSocket } from '../kit/socket.ts';

// What operators do to a fleet that runs, over an ingress, and what the audit log says of it.

const ops = { authorization: `Basic ${Buffer.from('ops:pass').toString('base64')}` };
const client = { authorization: 'Bearer secret-one' };
/** It is never read to its end. */
const endless = 'healthy:tokens=100000,pace=20';

const twoTargets = {
  targets: [
    { provider: 'primary', model: 'healthy:tokens=6' },
    { provider: 'backup', model: 'healthy:tokens=6' },
  ],
};

let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet({
    admin: true,
    models: { small: 'healthy:tokens=5', endless, two: twoTargets, only: 'healthy:tokens=9' },
    config: {
      admin: { user: 'ops', password: 'pass' },
      keys: [{ id: 'of-config', secrets: ['secret-one'] }],
      board: 'remove',
    },
  });
});
afterAll(() => fleet?.close());
beforeEach(() => {
  fleet.primary.reset();
});

const admin = (method: string, path: string, body?: object, options: SendOptions = {}) =>
  call(`${fleet.url}/admin/${path}`, { method, headers: ops, ...(body && { body }), ...options });

type AuditEntry = {
  actor: string;
  address: string | null;
  action: string;
  target: string | null;
  outcome: string;
  detail: Record<string, unknown> | null;
};

async function audited(query: string): Promise<AuditEntry[]> {
  const answer = await admin('GET', `audit?${query}`);
  expect(answer.status).toBe(200);
  return (jsonOf(answer) as { data: AuditEntry[] }).data;
}

const countOf = async (query: string): Promise<number> => (await audited(query)).length;

async function createJob(): Promise<string> {
  const answer = await call(`${fleet.url}/v1/jobs`, {
    headers: client,
    body: { body: chat('endless') },
  });
  expect(answer.status).toBe(202);
  return (jsonOf(answer) as { id: string }).id;
}

describe('the audit log', () => {
  test('has who did what from where, and no secret', async () => {
    const forged = { ...ops, 'x-millrace-actor': 'root', 'x-millrace-client': '10.9.9.9' };
    const id = `team-${randomUUID()}`;
    const created = await admin('POST', 'keys', { id, weight: 2 }, { headers: forged });
    const { secret } = jsonOf(created) as { secret: string };
    await admin('DELETE', `keys/${id}`);
    await admin('POST', 'keys', { id: 'of-config' });
    await expect.poll(() => countOf(`target=${id}`)).toBe(2);
    const entries = await audited(`target=${id}`);
    expect(entries).toMatchObject([
      { action: 'key.revoke', outcome: 'ok' },
      { action: 'key.create', outcome: 'ok', detail: { id, weight: 2 } },
    ]);
    for (const entry of entries)
      expect(entry).toMatchObject({ actor: 'ops', address: '127.0.0.1' });
    await expect
      .poll(() => audited('target=of-config'))
      .toContainEqual(expect.objectContaining({ action: 'key.create', outcome: 'key_exists' }));
    expect(JSON.stringify(await audited('limit=1000'))).not.toContain(secret);
  });

  test('has a drain, and the command line shows it', async () => {
    const { processes } = jsonOf(await admin('GET', 'fleet')) as {
      processes: { name: string; role: string }[];
    };
    const worker = processes.find(({ role }) => role === 'worker')?.name ?? '';
    const before = await countOf(`target=${worker}`);
    await admin('POST', `fleet/${worker}/drain`);
    await admin('POST', `fleet/${worker}/resume`);
    await expect.poll(() => countOf(`target=${worker}`)).toBe(before + 2);
    const url = ['--url', fleet.url, '--admin-user', 'ops', '--admin-password', 'pass'];
    const shown = await runCli([...url, 'audit', '--action', 'fleet.drain']);
    expect(shown.stdout).toMatch(new RegExp(`ops +127\\.0\\.0\\.1 +fleet\\.drain +${worker} +ok`));
  });

  test('has a request that the admin cancelled, over HTTP and over a WebSocket, and none of a client', async () => {
    const [one, other, own] = await Promise.all([createJob(), createJob(), createJob()]);
    await call(`${fleet.url}/v1/jobs/${one}`, { method: 'DELETE', headers: ops });
    const socket = await openSocket(fleet.url, ops);
    socket.send({ type: 'cancel', id: other });
    await call(`${fleet.url}/v1/jobs/${own}`, { method: 'DELETE', headers: client });
    for (const id of [one, other]) {
      await expect
        .poll(() => audited(`action=request.cancel&target=${id}`))
        .toMatchObject([{ actor: 'ops', outcome: 'ok', address: '127.0.0.1' }]);
    }
    expect(await audited(`action=request.cancel&target=${own}`)).toEqual([]);
    await socket.close();
  });

  test('has a response that the admin deleted', async () => {
    const made = await call(`${fleet.url}/v1/responses`, {
      method: 'POST',
      headers: client,
      body: { model: 'small', input: 'hello', background: true },
    });
    const { id } = jsonOf(made) as { id: string };
    await call(`${fleet.url}/v1/responses/${id}`, { method: 'DELETE', headers: ops });
    const target = id.replace('resp_', 'req_');
    await expect
      .poll(() => audited(`target=${target}`))
      .toMatchObject([{ action: 'request.delete', actor: 'ops', outcome: 'ok' }]);
  });

  test('has each config that the fleet used or refused once, however many processes read it', async () => {
    await expect.poll(() => countOf('action=config.changed')).toBe(1);
    const atStart = await audited('action=config.changed');
    expect(atStart).toMatchObject([{ detail: { cause: 'start' } }]);
    const written = await readFile(fleet.configFile, 'utf8');
    await writeFile(fleet.configFile, `${written}\nnonsense: true\n`);
    await admin('POST', 'config/reload');
    await writeFile(fleet.configFile, written.replace('tokens=5', 'tokens=7'));
    await admin('POST', 'config/reload');
    await expect.poll(() => countOf('action=config.changed')).toBe(2);
    await expect
      .poll(() => audited('action=config.refused'))
      .toMatchObject([{ outcome: 'invalid_config', target: atStart[0]?.target }]);
    const [changed] = await audited('action=config.changed');
    expect(changed?.detail).toMatchObject({ changed: ['models.small'] });
    await expect.poll(() => countOf('action=config.reload')).toBe(2);
  });

  test('gets what happens while no control plane runs when one starts again', async () => {
    const id = await createJob();
    await fleet.admins[0]?.stop('SIGKILL');
    await call(`${fleet.url}/v1/jobs/${id}`, { method: 'DELETE', headers: ops });
    await fleet.addAdmin();
    await expect.poll(async () => (await admin('GET', `audit?target=${id}`)).status).toBe(200);
    await expect.poll(() => audited(`target=${id}`)).toMatchObject([{ action: 'request.cancel' }]);
  });

  test('has the secrets that an ingress refused, as one entry of a count', async () => {
    const second = await fleet.addIngress();
    const wrong = { authorization: 'Bearer sk-someone-guesses' };
    for (let i = 0; i < 7; i += 1) await call(`${second.url}/v1/models`, { headers: wrong });
    await call(`${second.url}/admin/keys`, { headers: { authorization: 'Basic eDp5' } });
    await second.stop('SIGTERM');
    await expect.poll(() => countOf('action=key.refused')).toBe(2);
    const refused = await audited('action=key.refused');
    expect(refused).toContainEqual(
      expect.objectContaining({
        outcome: 'unknown_key',
        address: '127.0.0.1',
        detail: expect.objectContaining({ refused: 7 }) as unknown,
      }),
    );
    expect(new Set(refused.map(({ outcome }) => outcome))).toEqual(
      new Set(['admin_only', 'unknown_key']),
    );
    expect(JSON.stringify(refused)).not.toContain('guesses');
  });
});

describe('a target', () => {
  const target = 'primary/healthy:tokens=6';
  const path = `upstreams/${encodeURIComponent(target)}`;
  type TargetView = {
    target: string;
    state: string | null;
    opened_by: string | null;
    reason: string;
  };

  const targets = async () =>
    (jsonOf(await admin('GET', 'upstreams')) as { targets: TargetView[] }).targets;
  const viewOf = async () => (await targets()).find((one) => one.target === target);

  /** Asks for one answer; the target that gave it. */
  async function servedBy(): Promise<string> {
    const answer = await call(`${fleet.url}/v1/chat/completions`, {
      headers: client,
      body: chat('two'),
    });
    expect(answer.status).toBe(200);
    return String(answer.headers['x-millrace-served-by']);
  }

  test('that an operator opens gets no requests, also of a worker that starts later, until it is closed', async () => {
    expect(await servedBy()).toMatch(/^primary\//);
    const opened = await admin('POST', `${path}/open`);
    expect(opened.status).toBe(200);
    expect(jsonOf(opened)).toMatchObject({
      target,
      aliases: ['two'],
      state: 'open',
      opened_by: 'operator',
      reason: 'opened by ops',
      next_probe_at: null,
    });
    for (let i = 0; i < 3; i += 1) expect(await servedBy()).toMatch(/^backup\//);

    await fleet.killWorkers();
    await fleet.addWorker();
    for (let i = 0; i < 3; i += 1) expect(await servedBy()).toMatch(/^backup\//);
    expect(await viewOf()).toMatchObject({ state: 'open', held: { by: 'ops' } });

    expect(jsonOf(await admin('POST', `${path}/close`))).toMatchObject({ opened_by: null });
    await expect.poll(servedBy).toMatch(/^primary\//);
    await expect
      .poll(() => countOf(`target=${encodeURIComponent(target)}`))
      .toBeGreaterThanOrEqual(2);
  });

  test('that is the only one of its model is not asked as a last resort either', async () => {
    const only = encodeURIComponent('primary/healthy:tokens=9');
    await admin('POST', `upstreams/${only}/open`);
    const before = fleet.primary.requests.length;
    const answer = call(`${fleet.url}/v1/chat/completions`, {
      headers: client,
      body: chat('only'),
    });
    const waiting = async () =>
      (
        jsonOf(await admin('GET', 'upstreams')) as {
          workers: { upstreams: { selection: { waiting: number } } }[];
        }
      ).workers.reduce((sum, { upstreams }) => sum + upstreams.selection.waiting, 0);
    await expect.poll(waiting).toBe(1);
    expect(fleet.primary.requests).toHaveLength(before);
    // Closing it wakes the request that waits.
    await admin('POST', `upstreams/${only}/close`);
    expect((await answer).status).toBe(200);
  });

  test('that no model has is not opened', async () => {
    const answer = await admin('POST', 'upstreams/primary%2Fnothing/open');
    expect(answer.status).toBe(404);
    expect((await targets()).map((one) => one.target)).not.toContain('primary/nothing');
  });
});

describe('Bull Board', () => {
  test('shows its pages through the ingress, and its changes are in the audit log', async () => {
    const page = await admin('GET', 'queues');
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    const script = /src="([^"]+\.js)"/.exec(page.text)?.[1] ?? '';
    const asset = new URL(script, `${fleet.url}/admin/queues/`);
    expect((await call(asset, { headers: ops })).status).toBe(200);
    expect((await call(`${fleet.url}/admin/queues`)).status).toBe(401);

    expect((await admin('PUT', 'queues/api/queues/requests/pause')).status).toBe(200);
    expect(jsonOf(await admin('GET', 'fleet'))).toMatchObject({ queue: { paused_shards: [0] } });
    expect((await admin('PUT', 'queues/api/queues/requests/resume')).status).toBe(200);
    expect((await admin('PUT', 'queues/api/queues/requests/x/retry')).status).toBe(405);
    await expect.poll(() => countOf('action=queue.change')).toBe(3);
    expect(await audited('action=queue.change&limit=1000')).toContainEqual(
      expect.objectContaining({ actor: 'ops', target: '/api/queues/requests/pause' }),
    );
  });
});
