import type { AuditEntry } from '@millrace/shared/domain/audit';
import {
  controlPlaneActor,
  controlPlaneClient,
  controlPlaneToken,
} from '@millrace/shared/store/control-plane';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { noFleet } from '../api/fleet.fixture.ts';
import { buildApp } from '../app.ts';
import { createMigrator, migrate, openDatabase } from '../database/open.ts';
import type { LedgerDatabase } from '../database/open.ts';
import { openPglite } from '../database/pglite.fixture.ts';
import { keyOptions } from '../keys/keys.fixture.ts';
import { memoryAudit } from './audit.fixture.ts';
import { removeAuditBefore, storeAudit } from './store.ts';

const token = 'secret';
const noErrors = (error: unknown): never => {
  throw error;
};
const none = async () => ({ waiting: 0, dropped: 0 });
const start = Date.parse('2026-11-30T12:00:00Z');

const entryOf = (id: string, more: Partial<AuditEntry> = {}): AuditEntry => ({
  id,
  at: start,
  actor: 'ops',
  action: 'key.create',
  outcome: 'ok',
  ...more,
});

type Page = { data: Record<string, unknown>[]; next: string | null };

describe.each([
  ['SQLite', async () => openDatabase('sqlite::memory:', noErrors)],
  ['PostgreSQL', openPglite],
] as const)('the audit log on %s', (_name, open) => {
  let database: LedgerDatabase;
  let app: ReturnType<typeof buildApp>;
  beforeAll(async () => {
    database = await open();
    app = buildApp({
      audit: memoryAudit(),
      ledger: {
        database,
        consumer: { stored: 0, rejected: 0, problem: undefined },
        backlog: none,
        auditBacklog: none,
        prices: () => null,
        ready: createMigrator(database),
      },
      fleet: noFleet(),
      keys: keyOptions(),
      token,
      onError: noErrors,
    });
    // PostgreSQL compiles its WebAssembly: eight seconds of CPU.
  }, 90_000);
  afterAll(async () => {
    await app.close();
    await database.destroy();
  });
  beforeEach(async () => {
    await migrate(database);
    await database.deleteFrom('millrace_audit').execute();
  });

  const inject = (query = '') =>
    app.inject({ url: `/admin/audit?${query}`, headers: { [controlPlaneToken]: token } });
  const get = async (query = '') => (await inject(query)).json<Page>();
  const ids = async (query = '') => (await get(query)).data.map(({ id }) => id);

  test('an entry is shown as it was recorded, once, also if it was delivered twice', async () => {
    const detail = { weight: 3, models: ['small'] };
    const entry = entryOf('a', { address: '10.0.0.1', target: 'team-a', detail });
    await storeAudit(database, [entry, entry]);
    await storeAudit(database, [entry]);
    expect(await get()).toEqual({
      data: [
        {
          at: '2026-11-30T12:00:00.000Z',
          actor: 'ops',
          address: '10.0.0.1',
          action: 'key.create',
          target: 'team-a',
          outcome: 'ok',
          detail,
          id: 'a',
        },
      ],
      next: null,
    });
  });

  test('filters and pages let through what they say, newest first', async () => {
    const entries = Array.from({ length: 5 }, (_, i) => entryOf(`e${i}`, { at: start + i }));
    await storeAudit(database, [
      ...entries,
      entryOf('other', { at: start + 9, actor: 'ingress-1', action: 'key.refused', target: 'k' }),
    ]);
    expect(await ids('actor=ops&limit=3')).toEqual(['e4', 'e3', 'e2']);
    const { next } = await get('actor=ops&limit=3');
    expect(await get(`actor=ops&limit=3&cursor=${next}`)).toMatchObject({
      data: [{ id: 'e1' }, { id: 'e0' }],
      next: null,
    });
    expect(await ids('action=key.refused')).toEqual(['other']);
    expect(await ids('target=k')).toEqual(['other']);
    expect(await ids(`from=${(start + 1) / 1000}&to=${(start + 3) / 1000}`)).toEqual(['e2', 'e1']);
    expect(await ids("actor=ops' or 1=1 --")).toEqual([]);
  });

  test('CSV and NDJSON send the whole list', async () => {
    await storeAudit(database, [entryOf('a', { target: '=1+1', detail: { refused: 2 } })]);
    const csv = (await inject('format=csv')).body;
    expect(csv.split('\r\n')[0]).toBe('at,actor,address,action,target,outcome,detail,id');
    expect(csv).toContain(`,'=1+1,ok,"{""refused"":2}",a`);
    const ndjson = (await inject('format=ndjson')).body;
    expect(
      ndjson
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toMatchObject([{ id: 'a', detail: { refused: 2 } }]);
  });

  test.each(['format=csv&limit=5', 'cursor=x', 'user=ada', 'from=yesterday', 'limit=0'])(
    'the query %s is rejected with a 400',
    async (query) => {
      expect((await inject(query)).statusCode).toBe(400);
    },
  );

  test('texts that no database takes are stored without what it refuses', async () => {
    await storeAudit(database, [
      entryOf('a', { target: `k\0${'x'.repeat(9999)}`, detail: { text: 'x'.repeat(9999) } }),
    ]);
    const [row] = (await get()).data;
    expect(row).toMatchObject({ id: 'a', detail: null });
    expect(String(row?.['target'])).toHaveLength(512);
  });

  test('refused keys are removed by their own time', async () => {
    const old = { at: start - 100 };
    await storeAudit(database, [
      entryOf('refused', { ...old, action: 'key.refused' }),
      entryOf('kept', old),
      entryOf('new', { action: 'key.refused' }),
    ]);
    const times = { refused: start, others: start - 200, limit: 10 };
    expect(await removeAuditBefore(database, times)).toBe(1);
    expect(await ids()).toEqual(['new', 'kept']);
    expect(await removeAuditBefore(database, { ...times, others: start })).toBe(1);
    expect(await ids()).toEqual(['new']);
  });
});

describe('a request that may change something', () => {
  const audit = memoryAudit();
  const app = buildApp({
    audit,
    ledger: undefined,
    fleet: noFleet(),
    keys: keyOptions(),
    token,
    addRoutes(to) {
      to.post('/admin/new-route', () => ({}));
    },
    onError: noErrors,
  });
  afterAll(() => app.close());
  beforeEach(() => void audit.entries.splice(0));

  const call = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, payload?: object) =>
    app.inject({
      method,
      url,
      headers: {
        [controlPlaneToken]: token,
        [controlPlaneActor]: encodeURIComponent('Zoë'),
        [controlPlaneClient]: '10.0.0.9',
      },
      ...(payload && { payload }),
    });

  test('is recorded with its actor, its target and its outcome, and never with a secret', async () => {
    const created = await call('POST', '/admin/keys', { id: 'team-a', weight: 2 });
    const { secret } = created.json<{ secret: string }>();
    await call('PATCH', '/admin/keys/team-a', { weight: 3 });
    await call('POST', '/admin/keys/team-a/rotate', { grace: '1h' });
    await call('DELETE', '/admin/keys/team-a');
    expect(audit.entries).toMatchObject([
      { action: 'key.create', target: 'team-a', outcome: 'ok', detail: { weight: 2 } },
      { action: 'key.update', target: 'team-a', outcome: 'ok', detail: { weight: 3 } },
      { action: 'key.rotate', target: 'team-a', outcome: 'ok', detail: { grace: '1h' } },
      { action: 'key.revoke', target: 'team-a', outcome: 'ok' },
    ]);
    for (const entry of audit.entries) {
      expect(entry).toMatchObject({ actor: 'Zoë', address: '10.0.0.9' });
    }
    expect(JSON.stringify(audit.entries)).not.toContain(secret);
  });

  test('is recorded with the code of its error, without its body', async () => {
    await call('POST', '/admin/keys', { id: 'x', secret: 'sk-mine' });
    await call('POST', '/admin/fleet/worker-1/drain');
    expect(audit.entries).toMatchObject([
      { action: 'key.create', target: 'x', outcome: 'invalid_value', detail: undefined },
      { action: 'fleet.drain', target: 'worker-1', outcome: 'process_not_found' },
    ]);
  });

  test('is recorded by its method and path if it has no name', async () => {
    await call('POST', '/admin/new-route');
    expect(audit.entries).toMatchObject([{ action: 'POST /admin/new-route' }]);
  });

  test('is not recorded if it only reads, leads nowhere, or does not come from an ingress', async () => {
    await call('GET', '/admin/keys');
    await call('POST', '/admin/nothing');
    await app.inject({ method: 'POST', url: '/admin/keys' });
    expect(audit.entries).toEqual([]);
  });
});
