import { limitsAt } from '@millrace/shared/domain/budget';
import { expect, test } from 'vitest';
import { idOf } from './condition.ts';
import { conditionsOf } from './conditions.ts';
import { calmFleet, configOf, now, processOf, targetOf } from './fleet-state.fixture.ts';
import type { FleetState } from './fleet-state.ts';

/** Each condition as `severity id`. */
const found = (changes: Partial<FleetState>): string[] =>
  conditionsOf(calmFleet(changes)).map((one) => `${one.severity} ${idOf(one)}`);

const only = (changes: Partial<FleetState>) => {
  const all = conditionsOf(calmFleet(changes));
  expect(all).toHaveLength(1);
  return all[0]!;
};

test('a calm fleet has no conditions, and neither has one without a ledger, requests and a memory limit', () => {
  expect(found({})).toEqual([]);
  const bare = { ledger: undefined, recent: undefined, memory: { used: 5, max: 0 }, pools: [] };
  expect(found(bare)).toEqual([]);
  expect(found({ memory: undefined })).toEqual([]);
});

test('a fleet without a worker, or with none that listens or takes requests, is critical', () => {
  const others = [processOf('ingress'), processOf('admin')];
  expect(found({ processes: others })).toEqual(['critical no_worker']);
  const of = (changes: object) => ({ processes: [...others, processOf('worker', changes)] });
  expect(found(of({ stage: 'stopping' }))).toEqual(['critical no_worker']);
  expect(found(of({ isListening: false }))).toEqual(['critical workers_silent']);
  expect(found(of({ stage: 'draining' }))).toEqual(['critical workers_drained']);
  const two = [...of({ isListening: false }).processes, processOf('worker', { name: 'w2' })];
  expect(found({ processes: two })).toEqual(['warning worker_silent:worker-1']);
  expect(found({ processes: [processOf('worker')] })).toEqual(['critical no_ingress']);
});

test('processes of different versions are named with their number', () => {
  const processes = [processOf('ingress'), processOf('worker', { version: '1.1.0' })];
  expect(only({ processes })).toMatchObject({
    code: 'versions_differ',
    severity: 'warning',
    detail: expect.stringContaining('1.0.0 (1), 1.1.0 (1)'),
  });
});

test('a refused config, one that differs and one that needs a restart are three conditions', () => {
  const refused = configOf('w1', { problems: ['line 3: bad', 'line 9'], refusedAt: now - 5000 });
  expect(only({ configs: [refused] })).toMatchObject({
    code: 'config_refused',
    subject: 'w1',
    sinceAt: now - 5000,
    detail: expect.stringContaining('2 problems: line 3: bad'),
  });
  expect(found({ configs: [configOf('w1'), configOf('w2', { hash: 'bbbb' })] })).toEqual([
    'warning config_differs',
  ]);
  expect(only({ configs: [configOf('w1', { needsRestart: ['shards'] })] })).toMatchObject({
    code: 'config_needs_restart',
    severity: 'info',
    detail: '1 process must restart to use the new shards.',
  });
});

test('a paused queue is critical, and a warning if only some shards are paused', () => {
  const queue = { waiting: 3, active: 0, oldestAt: undefined, pausedShards: [0] };
  expect(found({ queue })).toEqual(['critical queue_paused']);
  expect(found({ queue, shards: 2 })).toEqual(['warning queue_paused']);
});

test('a queue is old beyond limits.queueWait, and critical beyond five times that', () => {
  const waited = (ms: number) => ({
    queue: { waiting: 3, active: 0, oldestAt: now - ms, pausedShards: [] },
  });
  expect(found(waited(60_000))).toEqual([]);
  expect(only(waited(61_000))).toMatchObject({
    code: 'queue_old',
    severity: 'warning',
    sinceAt: now - 1000,
  });
  expect(found(waited(301_000))).toEqual(['critical queue_old']);
});

test('an open target is a warning, one that an operator holds is information', () => {
  const since = now / 1000 - 7;
  const open = targetOf('one/x', { state: 'open', opened_by: 'breaker', reason: '5 of 5', since });
  expect(only({ targets: [open, targetOf('two/x')] })).toMatchObject({
    code: 'target_open',
    subject: 'one/x',
    severity: 'warning',
    sinceAt: now - 7000,
    detail: expect.stringContaining('5 of 5'),
  });
  const held = targetOf('one/x', { state: 'open', opened_by: 'operator', reason: 'by ops' });
  expect(found({ targets: [held, targetOf('two/x')] })).toEqual(['info target_held:one/x']);
  expect(found({ targets: [targetOf('one/x', { state: 'half-open' })] })).toEqual([]);
});

test('a model whose targets are all open is critical and comes first', () => {
  const open = { state: 'open', opened_by: 'breaker' as const };
  const targets = [
    targetOf('one/x', open),
    targetOf('two/x', { ...open, aliases: ['m', 'other'] }),
    targetOf('three/x', { aliases: ['other'] }),
  ];
  expect(found({ targets })).toEqual([
    'critical model_unavailable:m',
    'warning target_open:one/x',
    'warning target_open:two/x',
  ]);
});

test('a pool whose connections are all in use names its workers and what waits', () => {
  const pool = { provider: 'one', limit: 4, active: 4, waiting: 2 };
  const pools = [
    { ...pool, worker: 'w1' },
    { ...pool, worker: 'w2', waiting: 1 },
    { ...pool, worker: 'w3', active: 3 },
  ];
  expect(only({ pools })).toMatchObject({
    code: 'pool_full',
    subject: 'one',
    detail: 'All 4 connections to one are in use in w1, w2, and 3 requests wait for one.',
  });
});

test('the ledger fails, is behind, or drops entries', () => {
  const ledger = { waiting: 5, dropped: 9, problem: null, oldestAt: undefined, droppedLately: 0 };
  expect(found({ ledger })).toEqual([]);
  const old = { ...ledger, oldestAt: now - 61_000 };
  expect(found({ ledger: old })).toEqual(['warning ledger_behind']);
  expect(found({ ledger: { ...old, problem: 'refused' } })).toEqual(['critical ledger_failing']);
  expect(found({ ledger: { ...ledger, droppedLately: 2 } })).toEqual(['critical ledger_dropping']);
});

test("Redis' memory is a warning near limits.queueMemory and critical from there on", () => {
  expect(found({ memory: { used: 76, max: 100 } })).toEqual([]);
  expect(found({ memory: { used: 77, max: 100 } })).toEqual(['warning redis_memory']);
  expect(found({ memory: { used: 90, max: 100 } })).toEqual(['critical redis_memory']);
});

test('webhooks that were given up, or lost, are listed', () => {
  expect(found({ webhooks: undefined })).toEqual([]);
  expect(found({ webhooks: { dead: 1, droppedLately: 2 } })).toEqual([
    'critical webhooks_dropping',
    'warning webhooks_dead',
  ]);
});

test('a key is named once, with the amount of its budget that is used most', () => {
  const [day, month] = limitsAt({ day: 1, month: 100, currency: 'USD' }, now);
  if (!day || !month) throw new Error('a budget has two limits');
  const use = (usd: number) => ({ spent: usd * 1e9, reserved: 0 });
  const amounts = (first: number, second: number) => ({
    budgets: [
      { keyId: 'k', limit: day, use: use(first) },
      { keyId: 'k', limit: month, use: use(second) },
    ],
  });
  expect(found(amounts(0.89, 50))).toEqual([]);
  expect(found(amounts(0.9, 50))).toEqual(['info budget_nearly_used:k']);
  expect(only(amounts(0.95, 100))).toMatchObject({
    code: 'budget_used_up',
    severity: 'warning',
    detail:
      'Key k has used 100.00 USD of 100.00 USD per month: its requests are refused until 2026-12-01T00:00:00.000Z.',
  });
  // An amount below a cent keeps its digits.
  const small = { ...day, limit: 0.0004 * 1e9 };
  expect(only({ budgets: [{ keyId: 'k', limit: small, use: use(0.00038) }] }).detail).toContain(
    'has used 0.00038 USD of 0.0004 USD per day',
  );
  const nothing = { ...day, limit: 0 };
  expect(found({ budgets: [{ keyId: 'k', limit: nothing, use: use(0) }] })).toEqual([]);
});

test('a failure rate counts from twenty ended requests on', () => {
  const of = (ended: number, failed: number) => ({
    recent: { ended, failed, mostFrequent: 'upstream_error' },
  });
  expect(found(of(19, 19))).toEqual([]);
  expect(found(of(100, 4))).toEqual([]);
  expect(only(of(100, 5))).toMatchObject({
    code: 'failure_rate',
    severity: 'warning',
    detail: 'Of 100 requests of the last 5 min, 5 failed, most of them with upstream_error.',
  });
  expect(found(of(20, 5))).toEqual(['critical failure_rate']);
});

test('what needs attention most comes first, in an order that stays', () => {
  const changes: Partial<FleetState> = {
    processes: [processOf('ingress'), processOf('admin')],
    targets: [targetOf('b', { state: 'open' }), targetOf('a', { state: 'open' }), targetOf('c')],
    configs: [configOf('w1', { needsRestart: ['shards'] })],
  };
  expect(found(changes)).toEqual([
    'critical no_worker',
    'warning target_open:a',
    'warning target_open:b',
    'info config_needs_restart',
  ]);
});
