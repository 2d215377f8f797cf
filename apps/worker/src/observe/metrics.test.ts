import type { AttemptEnded, AttemptStarted } from '@millrace/shared/domain/entry';
import { beforeEach, describe, expect, it } from 'vitest';
import type { RunReport } from '../run/report.ts';
import { createMetrics } from './metrics.ts';
import type { Metrics } from './metrics.ts';

type Series = { metricName?: string; value: number; labels: Record<string, string | number> };
type Metric = { name: string; values: Series[] };

let metrics: Metrics;
beforeEach(() => {
  metrics = createMetrics({
    worker: 'w-1',
    targets: [
      { provider: 'openai', model: 'gpt-4o' },
      { provider: 'openai', model: 'gpt-4o-mini' },
    ],
    models: ['chat'],
  });
});

/** The series of a metric that are not zero, as they arrive at an ingress; without the worker. */
async function read(name: string): Promise<[labels: object, value: number][]> {
  const all = JSON.parse(JSON.stringify(await metrics.toJson())) as Metric[];
  const { values } = all.find((metric) => metric.name === name) ?? { values: [] };
  return values
    .filter(({ value, metricName = name }) => value !== 0 && !metricName.endsWith('_bucket'))
    .map(({ labels: { worker: _, ...labels }, value }) => [labels, value]);
}

const started = (more: Partial<AttemptStarted> = {}): AttemptStarted => ({
  run: 1,
  attempt: 1,
  provider: 'openai',
  model: 'gpt-4o',
  mode: 'start',
  at: 10_000,
  ...more,
});

const ended = (more: Partial<AttemptEnded> = {}): AttemptEnded => ({
  run: 1,
  attempt: 1,
  at: 13_000,
  outcome: 'completed',
  ...more,
});

const target = { provider: 'openai', model: 'gpt-4o' };

describe('an attempt', () => {
  it('is counted by how it was made and how it ended', async () => {
    metrics.attemptEnded(started(), ended());
    metrics.attemptEnded(started(), ended());
    metrics.attemptEnded(started({ mode: 'anchor' }), ended({ outcome: 'upstream_reset' }));
    expect(await read('millrace_attempts_total')).toEqual([
      [{ ...target, mode: 'start', outcome: 'completed' }, 2],
      [{ ...target, mode: 'anchor', outcome: 'upstream_reset' }, 1],
    ]);
  });

  it('is timed in seconds, and to its first token where it had one', async () => {
    metrics.attemptEnded(started(), ended({ firstTokenAt: 10_250 }));
    metrics.attemptEnded(started(), ended());
    expect(await read('millrace_first_token_seconds')).toEqual([
      [target, 0.25],
      [target, 1],
    ]);
    expect(await read('millrace_attempt_seconds')).toEqual([
      [{ ...target, outcome: 'completed' }, 6],
      [{ ...target, outcome: 'completed' }, 2],
    ]);
  });

  it('takes no negative time when the clock was set back', async () => {
    metrics.attemptEnded(started(), ended({ at: 9000, firstTokenAt: 8000 }));
    // No sum, only the count.
    expect(await read('millrace_first_token_seconds')).toEqual([[target, 1]]);
  });

  it('counts its tokens, and says which were estimated', async () => {
    const usage = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 };
    metrics.attemptEnded(started(), ended({ usage }));
    metrics.attemptEnded(
      started(),
      ended({ outcome: 'upstream_reset', usage: { completion_tokens: 3 }, estimated: 'all' }),
    );
    const counted = { prompt_tokens: 20, completion_tokens: 40 };
    metrics.attemptEnded(
      started(),
      ended({ outcome: 'cancelled', usage: counted, estimated: 'completion' }),
    );
    expect(await read('millrace_tokens_total')).toEqual([
      [{ ...target, kind: 'prompt', estimated: 'false' }, 27],
      [{ ...target, kind: 'completion', estimated: 'false' }, 5],
      [{ ...target, kind: 'completion', estimated: 'true' }, 43],
    ]);
  });

  it.each([
    null,
    'many',
    [],
    { prompt_tokens: -1, completion_tokens: '5' },
    { prompt_tokens: Infinity, completion_tokens: null },
    { prompt_tokens: Number.NaN },
  ])('takes no tokens from a usage that is none: %j', async (usage) => {
    metrics.attemptEnded(started(), ended({ usage }));
    expect(await read('millrace_tokens_total')).toEqual([]);
    expect(await read('millrace_attempts_total')).toHaveLength(1);
  });
});

it('targets that the config does not name make one series, however many they are', async () => {
  for (let i = 0; i < 50; i++) {
    metrics.attemptEnded(started({ model: `made-up-${i}` }), ended());
    metrics.attemptEnded(started({ provider: `made-up-${i}` }), ended());
  }
  const labels = { mode: 'start', outcome: 'completed' };
  expect(await read('millrace_attempts_total')).toEqual([
    [{ provider: 'openai', model: 'other', ...labels }, 50],
    [{ provider: 'other', model: 'other', ...labels }, 50],
  ]);
});

type Reported = Partial<Pick<RunReport, 'outcome' | 'ended'>> & { model?: string; number?: number };

describe('a run that has ended', () => {
  const usage = {
    prompt_tokens: 10,
    completion_tokens: 4,
    prompt_tokens_details: { cached_tokens: 6 },
    completion_tokens_details: { reasoning_tokens: 3 },
  };
  const report = ({ model = 'chat', number = 1, ...more }: Reported = {}) => {
    const standing = { priority: 'high', key: 'team-a', weight: 1, bytes: 1 };
    const history = {
      ledger: [
        { started: started(), ended: ended({ usage }) },
        // Another run has counted this one.
        { started: started(), ended: ended({ run: 7, usage }) },
        { started: started() },
      ],
    };
    metrics.runReported({
      activation: { number, data: { model, createdAt: 7000, standing } },
      run: 1,
      startedAt: 9000,
      endedAt: 13_000,
      outcome: { kind: 'completed', summary: 'stop' },
      ended: 'completed',
      history,
      ...more,
    } as unknown as RunReport);
  };

  it('counts its request and the tokens of its own attempts by public model', async () => {
    report();
    expect(await read('millrace_requests_total')).toEqual([
      [{ model: 'chat', outcome: 'completed' }, 1],
    ]);
    expect(await read('millrace_request_tokens_total')).toEqual([
      [{ model: 'chat', kind: 'input' }, 10],
      [{ model: 'chat', kind: 'output' }, 4],
    ]);
    expect(await read('millrace_request_token_parts_total')).toEqual([
      [{ model: 'chat', kind: 'cached_input' }, 6],
      [{ model: 'chat', kind: 'reasoning_output' }, 3],
    ]);
  });

  it('makes no series of a model that the config does not have', async () => {
    for (let i = 0; i < 20; i++) report({ model: `made-up-${i}` });
    expect(await read('millrace_requests_total')).toEqual([
      [{ model: 'other', outcome: 'completed' }, 20],
    ]);
    metrics.addNames({ targets: [], models: ['made-up-1'] });
    report({ model: 'made-up-1' });
    expect(await read('millrace_requests_total')).toHaveLength(2);
  });

  it('counts the wait of its request once: with its first run that did something', async () => {
    report({ outcome: { kind: 'not_yet' }, ended: undefined });
    report();
    report({ number: 2 });
    expect(await read('millrace_key_runs_started_total')).toEqual([[{ key: 'team-a' }, 1]]);
    expect(await read('millrace_key_queue_wait_seconds_total')).toEqual([[{ key: 'team-a' }, 2]]);
    expect(await read('millrace_queue_wait_seconds')).toEqual([
      [{ class: 'high' }, 2],
      [{ class: 'high' }, 1],
    ]);
    expect(await read('millrace_fairness_index')).toEqual([[{}, 1]]);
  });
});

it('seams are counted by their strategy and their outcome', async () => {
  metrics.seam('replay', 'passed');
  metrics.seam('anchor', 'anchor_missing');
  expect(await read('millrace_seams_total')).toEqual([
    [{ rung: 'replay', outcome: 'passed' }, 1],
    [{ rung: 'anchor', outcome: 'anchor_missing' }, 1],
  ]);
});

it('runs are counted while they are under way, and by how they ended', async () => {
  metrics.runStarted();
  metrics.runStarted();
  metrics.runEnded('handed_back');
  expect(await read('millrace_runs_active')).toEqual([[{}, 1]]);
  expect(await read('millrace_runs_total')).toEqual([[{ outcome: 'handed_back' }, 1]]);
});

it('every series carries the name of the worker', async () => {
  metrics.attemptEnded(started(), ended({ firstTokenAt: 10_001 }));
  const all = (await metrics.toJson()) as Metric[];
  const series = all.flatMap(({ values }) => values);
  expect(all.some(({ name }) => name === 'millrace_worker_process_cpu_seconds_total')).toBe(true);
  expect(series.filter(({ labels }) => labels['worker'] !== 'w-1')).toEqual([]);
});
