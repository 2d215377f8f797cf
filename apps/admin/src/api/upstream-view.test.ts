import type { WorkerReport } from '@millrace/shared/store/reports/port';
import { expect, test } from 'vitest';
import { targetViews } from './upstream-view.ts';
import type { TargetSources } from './upstream-view.ts';

const fault = { code: 'upstream_server_error', message: 'no', http_status: 500, at: 90 };
const seen = (state: string, more: object = {}) => ({
  provider: 'openai',
  model: 'gpt-4o',
  state,
  since: 100,
  window: { calls: 6, errors: 5 },
  ...more,
});

const report = (name: string, ...targets: object[]): WorkerReport => ({
  name,
  at: 0,
  metrics: [],
  sections: { upstreams: { health: { targets } } },
});

const models = {
  fast: { targets: [{ provider: 'openai', model: 'gpt-4o' }] },
  slow: {
    targets: [
      { provider: 'openai', model: 'gpt-4o' },
      { provider: 'b', model: 'm' },
    ],
  },
} as unknown as TargetSources['models'];

const none = new Map<string, never>();

test('a target that is open says why, since when and until when, as the worst of its workers has it', () => {
  const reports = [
    report('a', seen('closed')),
    report('b', seen('open', { next_probe_at: 110, last_fault: fault })),
  ];
  expect(targetViews({ models, reports, holds: none })[1]).toEqual({
    target: 'openai/gpt-4o',
    provider: 'openai',
    model: 'gpt-4o',
    aliases: ['fast', 'slow'],
    state: 'open',
    opened_by: 'breaker',
    reason: '5 of 6 calls failed lately; the last fault: upstream_server_error: no',
    since: 100,
    next_probe_at: 110,
    last_fault: fault,
    window: { calls: 6, errors: 5 },
    held: null,
  });
});

test('a target that no worker has asked has no state, and one that left the config is shown while workers know it', () => {
  const reports = [report('a', { ...seen('closed'), provider: 'gone' })];
  const views = targetViews({ models, reports, holds: none });
  expect(views.map(({ target, state, aliases }) => [target, state, aliases.length])).toEqual([
    ['b/m', null, 1],
    ['gone/gpt-4o', 'closed', 0],
    ['openai/gpt-4o', null, 2],
  ]);
});

test('a target that an operator has opened says who did it', () => {
  const holds = new Map([['b/m', { by: 'ops', at: 5000 }]]);
  expect(targetViews({ models, reports: [], holds })[0]).toMatchObject({
    state: 'open',
    opened_by: 'operator',
    reason: 'opened by ops',
    since: 5,
    next_probe_at: null,
    held: { by: 'ops', at: 5 },
  });
});

test('a target that an operator has opened is shown although the config has it no more', () => {
  const holds = new Map([['gone/a/b', { by: 'ops', at: 5000 }]]);
  expect(targetViews({ models, reports: [], holds })[1]).toMatchObject({
    target: 'gone/a/b',
    provider: 'gone',
    model: 'a/b',
    aliases: [],
    opened_by: 'operator',
  });
});

test('a report of another version is none', () => {
  const reports: WorkerReport[] = [
    { name: 'a', at: 0, metrics: [], sections: {} },
    { name: 'b', at: 0, metrics: [], sections: { upstreams: { health: { targets: 'many' } } } },
    report('c', { provider: 7 }),
  ];
  expect(targetViews({ models, reports, holds: none }).map(({ state }) => state)).toEqual([
    null,
    null,
  ]);
});
