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

let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet({
    admin: true,
    models: { small: 'healthy:tokens=5', endless },
    config: {
      admin: { user: 'ops', password: 'pass' },
      keys: [{ id: 'of-config', secrets: ['secret-one'] }],
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
    const created = await admin('POST', 'keys', { id: 'team-a', weight: 2 }, { headers: forged });
    const { secret } = jsonOf(created) as { secret: string };
    await admin('DELETE', 'keys/team-a');
    await admin('POST', 'keys', { id: 'of-config' });
    await expect.poll(() => countOf('target=team-a')).toBe(2);
    const entries = await audited('target=team-a');
    expect(entries).toMatchObject([
      { action: 'key.revoke', outcome: 'ok' },
      { action: 'key.create', outcome: 'ok', detail: { id: 'team-a', weight: 2 } },
    ]);
    for (const entry of entries)
      expect(entry).toMatchObject({ actor: 'ops', address: '127.0.0.1' });
    await expect
      .poll(() => audited('target=of-config'))
      .toMatchObject([{ action: 'key.create', outcome: 'key_exists' }]);
    expect(JSON.stringify(await audited('limit=1000'))).not.toContain(secret);
  });

  test('has a drain, and the command line shows it', async () => {
    const { processes } = jsonOf(await admin('GET', 'fleet')) as {
      processes: { name: string; role: string }[];
    };
    const worker = processes.find(({ role }) => role === 'worker')?.name ?? '';
    await admin('POST', `fleet/${worker}/drain`);
    await admin('POST', `fleet/${worker}/resume`);
    await expect.poll(() => countOf(`target=${worker}`)).toBe(2);
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
    await expect.poll(() => countOf('action=request.cancel')).toBe(2);
    const cancelled = await audited('action=request.cancel');
    expect(new Set(cancelled.map(({ target }) => target))).toEqual(new Set([one, other]));
    expect(cancelled[0]).toMatchObject({ actor: 'ops', outcome: 'ok', address: '127.0.0.1' });
    await socket.close();
  });

  test('has each config that the fleet used or refused once, however many processes read it', async () => {
    const atStart = await audited('action=config.changed');
    expect(atStart).toMatchObject([{ detail: { cause: 'start' } }]);
    const written = await readFile(fleet.configFile, 'utf8');
    await writeFile(fleet.configFile, `${written}\nnonsense: true\n`);
    await admin('POST', 'config/reload');
    await writeFile(fleet.configFile, written.replace('tokens=5', 'tokens=7'));
    await admin('POST', 'config/reload');
    await expect.poll(() => countOf('action=config.changed')).toBe(2);
    expect(await audited('action=config.refused')).toMatchObject([
      { outcome: 'invalid_config', target: atStart[0]?.target },
    ]);
    const [changed] = await audited('action=config.changed');
    expect(changed?.detail).toMatchObject({ changed: ['models.small'] });
    expect(await countOf('action=config.reload')).toBe(2);
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
