import type { ActivationOutcome } from '@millrace/shared/store/queue/port';
import type { Telemetry } from '@millrace/shared/telemetry/port';
import { describe, expect, test } from 'vitest';
import { applyEntry, emptyHistory, setSource } from '../continuation/history.ts';
import type { History } from '../continuation/history.ts';
import type { RunReport } from '../run/report.ts';
import { spansOf, traceHeaders, traceRuns } from './trace.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const parent = `00-${traceId}-b7ad6b7169203331-01`;
const completed: ActivationOutcome = { kind: 'completed', summary: 'stop' };

const activation = (number: number, more: object = {}) =>
  ({
    id: 'req_1',
    number,
    data: { model: 'm', stream: true, createdAt: 1000, trace: { parent, state: 'a=b' }, ...more },
  }) as unknown as RunReport['activation'];

const report = (run: number, history: History | undefined, more: Partial<RunReport> = {}) =>
  ({
    activation: activation(run),
    run,
    startedAt: 2000 * run,
    endedAt: 2000 * run + 900,
    outcome: completed,
    ended: 'completed',
    history,
    ...more,
  }) satisfies RunReport;

/** A history with attempts, each with the run that made it and the run that wrote its end. */
function historyOf(...attempts: [run: number, endedBy: number | undefined, outcome: string][]) {
  const history = emptyHistory();
  attempts.forEach(([run, endedBy, outcome], index) => {
    const attempt = index + 1;
    const at = 2000 * run + 10 * attempt;
    const mode = index === 0 ? 'start' : 'continue';
    const target = { provider: 'p', model: 'gpt' };
    applyEntry(history, { kind: 'attempt', data: { run, attempt, mode, at, ...target } });
    if (endedBy === undefined) return;
    const data = { run: endedBy, attempt, at: at + 5, outcome };
    applyEntry(history, { kind: 'attempt_end', data });
  });
  return history;
}

const providerOf = () => ({ api: 'openai' as const, baseUrl: 'https://api.openai.com/v1' });
const fail = (error: unknown): never => {
  throw error;
};
const namesOf = (one: RunReport) => spansOf(one, providerOf).map(({ name }) => name);

describe('the spans of a run', () => {
  test('are none for a request that is not traced, and for a run that another one follows at once', () => {
    const history = historyOf([1, 1, 'completed']);
    const untraced = { activation: activation(1, { trace: undefined }) };
    expect(namesOf(report(1, history, untraced))).toEqual([]);
    for (const kind of ['dropped', 'not_yet'] as const) {
      expect(namesOf(report(1, history, { outcome: { kind } }))).toEqual([]);
    }
  });

  test('are those of its own attempts: the run before has sent the others', () => {
    const history = historyOf([1, 1, 'handed_over'], [2, 2, 'completed']);
    const first = report(1, historyOf([1, 1, 'handed_over']), { outcome: { kind: 'handed_back' } });
    expect(namesOf(first)).toEqual(['queue wait', 'run', 'chat gpt']);
    expect(namesOf(report(2, history))).toEqual(['run', 'chat gpt']);
  });

  test('are also those of a run that was lost, with the ids that it would have given them', () => {
    const spans = spansOf(
      report(2, historyOf([1, 2, 'worker_lost'], [2, 2, 'completed'])),
      providerOf,
    );
    expect(spans.map(({ name }) => name)).toEqual([
      'queue wait',
      'run',
      'run',
      'chat gpt',
      'chat gpt',
    ]);
    const alive = spansOf(report(1, historyOf([1, 1, 'completed'])), providerOf);
    expect(spans[1]?.spanId).toBe(alive[1]?.spanId);
    expect(spans[3]?.spanId).toBe(alive[2]?.spanId);
    expect(spans[0]?.endedAt).toBe(2010);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(5);
    expect(new Set(spans.map((span) => span.traceId))).toEqual(new Set([traceId]));
  });

  test('are all that a dead run owes, also of attempts that ended before it died', () => {
    const dead = historyOf([1, 1, 'upstream_reset'], [1, 2, 'worker_lost'], [2, 2, 'completed']);
    for (const attempt of [1, 2, 3]) setSource(dead, attempt);
    const spans = spansOf(report(2, dead), providerOf);
    const names = ['queue wait', 'run', 'run', 'chat gpt', 'chat gpt', 'chat gpt'];
    expect(spans.map(({ name }) => name)).toEqual(names);
    expect(spans[1]).toMatchObject({ startedAt: 2010, isError: true });
    expect(spans[1]?.attributes).toMatchObject({ 'millrace.run': 1, 'millrace.outcome': 'lost' });
    const linked = spans.flatMap(({ links = [] }) => links.map(({ spanId }) => spanId));
    expect(linked).toEqual([spans[3]?.spanId, spans[4]?.spanId]);
  });

  test('are all that a dead run owes, also if none of its attempts was open', () => {
    const spans = spansOf(
      report(2, historyOf([1, 1, 'upstream_reset'], [2, 2, 'completed'])),
      providerOf,
    );
    const names = ['queue wait', 'run', 'run', 'chat gpt', 'chat gpt'];
    expect(spans.map(({ name }) => name)).toEqual(names);
    expect(spans[1]).toMatchObject({ isError: false });
    expect(spans[1]?.attributes['millrace.outcome']).toBeUndefined();
  });

  test('are those of several dead runs, back to the last one that handed the request over', () => {
    const history = historyOf(
      [1, 1, 'handed_over'],
      [2, 3, 'worker_lost'],
      [3, 4, 'worker_lost'],
      [4, 4, 'completed'],
    );
    const spans = spansOf(report(4, history), providerOf);
    const runs = spans.filter(({ name }) => name === 'run');
    expect(runs.map(({ attributes }) => attributes['millrace.run'])).toEqual([2, 3, 4]);
    expect(spans.filter(({ kind }) => kind === 'client')).toHaveLength(3);
    expect(spans.filter(({ name }) => name === 'queue wait')).toEqual([]);
  });

  test('are none of a request that had ended before, and none of a run that the next one reports', () => {
    expect(namesOf(report(1, undefined))).toEqual([]);
    const handedBack: Partial<RunReport> = { outcome: { kind: 'handed_back' } };
    expect(namesOf(report(1, historyOf([1, 1, 'upstream_reset']), handedBack))).toEqual([]);
    expect(namesOf(report(1, emptyHistory(), handedBack))).toEqual(['queue wait', 'run']);
  });

  test('a hedge that lost, and an attempt that its client cancelled, are no errors', () => {
    const history = historyOf([1, 1, 'superseded'], [1, 1, 'cancelled'], [1, 1, 'upstream_reset']);
    const spans = spansOf(report(1, history), providerOf).filter(({ kind }) => kind === 'client');
    expect(spans.map(({ isError }) => isError)).toEqual([false, false, true]);
  });
});

describe('the span of a run that failed', () => {
  test.each([
    ['upstream_timeout', 'upstream_timeout'],
    [undefined, 'error'],
  ] as const)('has the code %s of its request, and no text', (code, type) => {
    const reason = 'the prompt is: hello';
    const outcome: ActivationOutcome = { kind: 'failed', reason, ...(code && { code }) };
    const spans = spansOf(report(1, historyOf(), { outcome }), providerOf);
    expect(spans[1]).toMatchObject({ isError: true, attributes: { 'error.type': type } });
    expect(JSON.stringify(spans)).not.toContain('hello');
  });
});

test('a seam links to the last attempt before of which readers have text, not to a hedge', () => {
  const history = historyOf(
    [1, 1, 'upstream_reset'],
    [1, 1, 'superseded'],
    [1, 1, 'upstream_reset'],
    [1, 1, 'completed'],
  );
  // The second attempt was a hedge, and the third one has sent nothing.
  for (const attempt of [1, 4]) setSource(history, attempt);
  const attempts = spansOf(report(1, history), providerOf).filter(({ kind }) => kind === 'client');
  expect(attempts[3]?.links?.map(({ spanId }) => spanId)).toEqual([attempts[0]?.spanId]);
  expect(attempts[3]?.events).toHaveLength(1);
});

test('telemetry that fails is reported, and does not end the run', () => {
  const errors: unknown[] = [];
  const failure = new Error('a defect');
  const defective = {
    record: () => {
      throw failure;
    },
  } as unknown as Telemetry;
  traceRuns(defective, providerOf, (error) => errors.push(error))(report(1, historyOf()));
  expect(errors).toEqual([failure]);
});

describe('the metrics of an attempt', () => {
  const calls: string[] = [];
  const telemetry: Telemetry = {
    sample: 1,
    propagate: false,
    trustClients: true,
    record() {},
    measure: (_, attributes) => void calls.push(String(attributes['error.type'])),
    close: async () => {},
  };
  const measured = (...reports: RunReport[]) => {
    calls.length = 0;
    for (const one of reports) traceRuns(telemetry, providerOf, fail)(one);
    return calls;
  };

  test('are sent once, by the run that follows, if its own run died', () => {
    const dead = historyOf([1, 1, 'upstream_reset'], [1, 2, 'worker_lost'], [2, 2, 'completed']);
    expect(measured(report(2, dead))).toEqual(['upstream_reset', 'worker_lost', 'undefined']);
  });

  test('are sent once if its own run was fenced, or handed the request over', () => {
    const fenced = report(1, historyOf([1, 1, 'aborted']), { outcome: { kind: 'dropped' } });
    const next = report(2, historyOf([1, 2, 'worker_lost'], [2, 2, 'completed']));
    expect(measured(fenced, next)).toEqual(['worker_lost', 'undefined']);

    const outcome: ActivationOutcome = { kind: 'handed_back' };
    const ends: [number, number, string][] = [
      [1, 1, 'upstream_reset'],
      [1, 1, 'handed_over'],
    ];
    const first = report(1, historyOf(...ends), { outcome });
    const second = report(2, historyOf(...ends, [2, 2, 'completed']));
    expect(measured(first, second)).toEqual(['upstream_reset', 'undefined', 'undefined']);
  });

  test('are sent once if its own run gave the request back between two attempts', () => {
    for (const kind of ['handed_back', 'not_yet'] as const) {
      const first = report(1, historyOf([1, 1, 'upstream_reset']), { outcome: { kind } });
      const run = kind === 'not_yet' ? 1 : 2;
      const second = report(run, historyOf([1, 1, 'upstream_reset'], [run, run, 'completed']));
      expect(measured(first, second)).toEqual(['upstream_reset', 'undefined']);
    }
  });
});

describe('the trace headers of a call', () => {
  const data = activation(1, { traceparent: `00-${traceId}-1111111111111111-01` });

  test("are the client's own, unchanged", () => {
    expect(traceHeaders(data, 1, false)).toEqual({ traceparent: data.data.traceparent });
  });

  test('are those of the attempt if the config says so, with the same id as its span', () => {
    const history = historyOf([1, 1, 'upstream_reset'], [1, 1, 'completed']);
    const spans = spansOf(report(1, history), providerOf).filter(({ kind }) => kind === 'client');
    const headers = [1, 2].map((attempt) => traceHeaders(data, attempt, true));
    expect(headers).toEqual(
      spans.map(({ spanId }) => ({
        traceparent: `00-${traceId}-${spanId}-01`,
        tracestate: 'a=b',
      })),
    );
  });

  test("are the client's own for a request that is not traced", () => {
    const untraced = activation(1, { trace: undefined, traceparent: 'x' });
    expect(traceHeaders(untraced, 1, true)).toEqual({ traceparent: 'x' });
  });
});
