import { expect, test } from 'vitest';
import type { LedgerEntry, LedgerFacts } from '@millrace/shared/domain/ledger';
import { attemptOf, cancelled, done, entryOf, failed, morning, tokens } from './entries.fixture.ts';

type Body = Record<string, unknown> & { data: readonly Record<string, unknown>[] };

/** A ledger that is empty before each test; a token costs 10,000 billionths of a USD, and twice as much as output of other providers than `own`. */
export type LedgerUnderTest = {
  store(...entries: LedgerEntry[]): Promise<void>;
  /** The JSON body of the answer. */
  get(url: string): Promise<Body>;
};

const minute = 60_000;
const day = 'from=2026-11-30&to=2026-12-01';

/** The first attempt breaks off after 40 tokens, the second one goes on in this mode. */
const rescueBy = (mode: 'continue' | 'anchor' | 'replay' | 'restart'): LedgerFacts => ({
  attempts: [
    attemptOf(1, {
      outcome: 'connection_lost',
      usage: tokens(10, 40),
      firstTokenAt: morning + 300,
    }),
    attemptOf(
      2,
      { usage: tokens(50, 60), firstTokenAt: morning + 900 },
      { mode, provider: 'backup' },
    ),
  ],
  rescues: 1,
  maxGapMs: 250,
  firstTextAt: morning + 300,
});

/** `GET /admin/summary`, `GET /admin/series` and the filters of requests. */
export function figureTests(ledger: () => LedgerUnderTest): void {
  const store = (...entries: LedgerEntry[]) => ledger().store(...entries);
  const get = (url: string) => ledger().get(url);

  test('the summary of an empty time has zeros, and nothing that it would have to divide by', async () => {
    expect(await get(`/admin/summary?${day}`)).toEqual({
      from_at: '2026-11-30T00:00:00.000Z',
      to_at: '2026-12-01T00:00:00.000Z',
      requests: 0,
      completed: 0,
      failed: 0,
      cancelled: 0,
      rescued: 0,
      streams_rescued_mid_answer: 0,
      gap_ms: null,
      tokens_not_paid_twice: 0,
      saved_cost: 0,
      availability: null,
      error_budget: { objective: 0.999, allowed: 0, used: 0, left: 0 },
      first_token_ms: null,
      input_tokens: 0,
      cached_tokens: 0,
      output_tokens: 0,
      tokens_per_s: null,
      cost: 0,
      unpriced: 0,
    });
  });

  test('the summary counts how requests ended, and takes its percentiles by the nearest rank', async () => {
    const answered = Array.from({ length: 100 }, (_, i) =>
      entryOf(`req_${i}`, {
        facts: { attempts: [attemptOf(1)], firstTextAt: morning + 10 * (i + 1) },
        end: done(morning + 10 * (i + 1) + 2000),
      }),
    );
    await store(
      ...answered,
      entryOf('req_f', { end: failed(morning + 500), facts: { attempts: [] } }),
      entryOf('req_c', { end: cancelled(morning + 500), facts: { attempts: [] } }),
      entryOf('req_before', { meta: { createdAt: morning - 24 * 60 * minute } }),
    );
    expect(await get(`/admin/summary?${day}`)).toMatchObject({
      requests: 102,
      completed: 100,
      failed: 1,
      cancelled: 1,
      availability: 100 / 101,
      error_budget: { objective: 0.999, allowed: 0.101, used: 1, left: -0.899 },
      first_token_ms: { p50: 500, p95: 950, p99: 990 },
      output_tokens: 2000,
      tokens_per_s: 10,
      cost: 0.03,
      unpriced: 0,
      gap_ms: null,
    });
    expect(await get(`/admin/summary?${day}&status=failed`)).toMatchObject({ requests: 1 });
  });

  test('tokens in front of a continuation are not paid twice, those of an answer that began again are', async () => {
    const rescued = (id: string, facts: LedgerFacts) =>
      entryOf(id, { facts, end: done(morning + 5000) });
    const twice = rescueBy('continue');
    const third = attemptOf(
      3,
      { firstTokenAt: morning + 2000 },
      { mode: 'continue', provider: 'third' },
    );
    const [first, second] = twice.attempts;
    const broken = { ...second!, ended: { ...second!.ended!, outcome: 'stalled' } };
    const again = attemptOf(
      3,
      { firstTokenAt: morning + 2000 },
      { mode: 'restart', provider: 'third' },
    );
    await store(
      rescued('req_continue', rescueBy('continue')),
      rescued('req_anchor', rescueBy('anchor')),
      rescued('req_replay', rescueBy('replay')),
      rescued('req_restart', rescueBy('restart')),
      // 40 of the first attempt and 60 of the second, each once.
      rescued('req_twice', { ...twice, attempts: [first!, broken, third], rescues: 2 }),
      // The answer began again in the end, so that the first rescue saved nothing.
      rescued('req_again', { ...twice, attempts: [first!, broken, again], rescues: 2 }),
      // Moved by an operator: no rescue, but its reader waited.
      rescued('req_moved', { rescues: 0, maxGapMs: 400, attempts: [attemptOf(1)] }),
    );
    const summary = await get(`/admin/summary?${day}`);
    expect(summary).toMatchObject({
      rescued: 6,
      streams_rescued_mid_answer: 6,
      gap_ms: { p50: 250, p99: 400, max: 400 },
      tokens_not_paid_twice: 140,
      // As output 20,000 each, less 10,000 as input.
      saved_cost: 0.0014,
    });
  });

  test('the loser of a race and a continuation without a token saved nothing', async () => {
    const lost = attemptOf(1, {
      outcome: 'superseded',
      usage: tokens(10, 40),
      firstTokenAt: morning + 300,
    });
    const mute = attemptOf(2, { usage: tokens(50, 0) }, { mode: 'continue' });
    const brokenOff = attemptOf(1, { outcome: 'stalled', usage: tokens(10, 40) });
    await store(
      entryOf('req_1', {
        facts: { attempts: [lost, rescueBy('continue').attempts[1]!], rescues: 1 },
      }),
      entryOf('req_2', { facts: { attempts: [brokenOff, mute], rescues: 1 } }),
    );
    expect(await get(`/admin/summary?${day}`)).toMatchObject({
      rescued: 2,
      tokens_not_paid_twice: 0,
    });
  });

  test('what was saved is unknown without a price', async () => {
    const facts = rescueBy('continue');
    const [first, second] = facts.attempts;
    second!.started.model = 'unknown';
    await store(entryOf('req_1', { facts: { ...facts, attempts: [first!, second!] } }));
    expect(await get(`/admin/summary?${day}`)).toMatchObject({
      tokens_not_paid_twice: 40,
      saved_cost: null,
    });
  });

  test('a series has every step of its time, with the requests that were created in it', async () => {
    await store(
      ...[100, 200, 300].map((ms, i) =>
        entryOf(`req_${i}`, { facts: { attempts: [attemptOf(1)], firstTextAt: morning + ms } }),
      ),
      entryOf('req_f', {
        meta: { createdAt: morning + 2 * minute },
        end: failed(morning + 2 * minute),
        facts: { attempts: [] },
      }),
    );
    const query = `from=${(morning + 1000) / 1000}&to=${(morning + 3 * minute) / 1000}&step=1m`;
    const series = await get(`/admin/series?${query}`);
    // The first step begins with its minute.
    expect(series).toMatchObject({
      step_ms: minute,
      from_at: '2026-11-30T08:00:00.000Z',
      to_at: '2026-11-30T08:03:00.000Z',
    });
    expect(series.data).toEqual([
      {
        at: '2026-11-30T08:00:00.000Z',
        requests: 3,
        failed: 0,
        rescued: 0,
        first_token_p50_ms: 200,
        first_token_p95_ms: 300,
        output_tokens: 60,
        cost: 0.0009,
        unpriced: 0,
      },
      expect.objectContaining({
        at: '2026-11-30T08:01:00.000Z',
        requests: 0,
        first_token_p50_ms: null,
        cost: 0,
      }),
      expect.objectContaining({
        at: '2026-11-30T08:02:00.000Z',
        requests: 1,
        failed: 1,
        first_token_p95_ms: null,
      }),
    ]);
    expect(await get(`/admin/series?from=2026-11-29&to=2026-11-29T01:00:00Z`)).toMatchObject({
      step_ms: 30_000,
      data: [],
    });
  });

  test('a series by group has the eight largest, and one for all others', async () => {
    const entries = Array.from({ length: 11 }, (_, group) =>
      Array.from({ length: 12 - group }, (_unused, i) =>
        entryOf(`req_${group}_${i}`, {
          // The first is named as the others together are, the second has no key.
          meta: { keyId: group === 1 ? undefined : group === 0 ? 'other' : `team-${group}` },
        }),
      ),
    ).flat();
    await store(...entries);
    const { data } = await get(
      `/admin/series?from=${morning / 1000}&to=${(morning + minute) / 1000}&step=1m&by=key`,
    );
    const counts = Object.fromEntries(data.map(({ group, requests }) => [String(group), requests]));
    expect(counts).toEqual({
      null: 11,
      'team-2': 10,
      'team-3': 9,
      'team-4': 8,
      'team-5': 7,
      'team-6': 6,
      'team-7': 5,
      'team-8': 4,
      other: 12 + 3 + 2,
    });
  });

  test('filters take several values, exclude some, and know errors and rescues', async () => {
    await store(
      entryOf('req_1', { meta: { keyId: 'a' } }),
      entryOf('req_2', { meta: { keyId: 'b', model: 'large' } }),
      entryOf('req_3', { meta: { keyId: undefined } }),
      entryOf('req_4', { meta: { keyId: 'c' }, end: failed(morning + 500) }),
      entryOf('req_5', { meta: { keyId: 'c' }, facts: rescueBy('continue') }),
      entryOf('req_6', { meta: { keyId: 'c' }, end: cancelled(morning + 500) }),
    );
    const found = async (query: string) =>
      (await get(`/admin/requests?${query}`)).data
        .map(({ id }) => String(id).slice(4))
        .toSorted()
        .join('');
    expect(await found('key=a,b')).toBe('12');
    expect(await found('key=-a,-b')).toBe('3456');
    expect(await found('key=a,c,-c')).toBe('1');
    expect(await found('model=-alias')).toBe('2');
    expect(await found('status=error')).toBe('4');
    expect(await found('status=rescued')).toBe('5');
    expect(await found('status=error,rescued')).toBe('45');
    expect(await found('status=-completed')).toBe('46');
    expect(await found('status=completed,-rescued')).toBe('123');
    expect(await found('error=no_target')).toBe('4');
    expect(await found('error=-no_target')).toBe('12356');
    expect(await found('provider=backup')).toBe('5');
  });

  test('a search finds parts of ids, sessions, users, hashes and errors, and takes wildcards as text', async () => {
    const facts = {
      attempts: [attemptOf(1)],
      user: 'Ada_L',
      session: '100%',
      promptHash: 'beef01',
    };
    await store(
      entryOf('req_one', { facts }),
      entryOf('req_two', { end: failed(morning + 500), facts: { attempts: [] } }),
      entryOf('req_three', { facts: { attempts: [attemptOf(1)], user: 'AdaXL', session: '100' } }),
    );
    const found = async (text: string, more = '') =>
      (await get(`/admin/requests?q=${encodeURIComponent(text)}${more}`)).data.map(({ id }) => id);
    expect(await found('REQ_T')).toEqual(['req_two', 'req_three']);
    expect(await found('ada_l')).toEqual(['req_one']);
    expect(await found('00%')).toEqual(['req_one']);
    expect(await found('EEF0')).toEqual(['req_one']);
    expect(await found('no target')).toEqual(['req_two']);
    expect(await found('req', '&status=error')).toEqual(['req_two']);
    expect(await found("' or 1=1 --")).toEqual([]);
    expect(await found('!')).toEqual([]);
  });
}
