import type { AttemptMode, Entry } from '@millrace/shared/domain/entry';
import { describe, expect, it } from 'vitest';
import { createJournalRig, primary } from './journal.fixture.ts';
import type { JournalRig, GateRig } from './journal.fixture.ts';
import { chunk, ended, historyOf, said, started } from '../continuation/history.fixture.ts';
import { chooseAnchor } from '../continuation/splice/anchor.ts';
import { events } from '@millrace/formats/openai-chat/stream.fixture';
import { readStream } from '@millrace/formats/openai-chat/stream';
import type { ProviderCall } from '@millrace/formats/port';

/* What readers are sent of the usage, and what the ledger has, as lines of the log. */

const body = JSON.stringify({ messages: [{ role: 'user', content: 'Tell me about the mill.' }] });
const text = 'The river turns the wheel, the wheel turns the stone, and the stone';
const rest = ' grinds the corn, until in the evening the miller counts his sacks.';
const role = { role: 'assistant', content: '' };
const stop = { finish: 'stop' };
const completed = { kind: 'completed', finishReason: 'stop' } as const;
const broken = { kind: 'fault', fault: { code: 'upstream_reset', message: 'm' } } as const;

const counts = (prompt: number, completion: number) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
});
const usageChunk = (usage: object) => JSON.stringify({ id: 'u', choices: [], usage });

/** Every usage that a reader is sent, in chunks or alone, and the one of the end. */
function usagesOf({ entries }: JournalRig): { shown: unknown[]; done: unknown } {
  const shown: unknown[] = [];
  let done: unknown;
  for (const entry of entries()) {
    if (entry.kind === 'chunk' || entry.kind === 'usage') {
      const { usage } = JSON.parse(entry.text) as { usage?: unknown };
      if (usage !== undefined) shown.push(usage);
    }
    if (entry.kind === 'done') done = entry.data.usage;
  }
  return { shown, done };
}

const ledgerOf = ({ entries }: JournalRig) =>
  entries().flatMap(({ kind, ...entry }) =>
    kind === 'attempt_end' && 'data' in entry ? [entry.data] : [],
  );

/** An answer of which `text` was shown; `report`: what its target had reported by then. */
function brokenOff(report?: object): JournalRig {
  const rig = createJournalRig({ body });
  const first = rig.open();
  if (report) first.gate.sink.usage(usageChunk(report));
  first.chunk(role);
  first.chunk({ content: text });
  rig.journal.ended(first.gate, broken, 1200);
  return rig;
}

/** A second attempt that says this, ends, and reports this. */
function goesOn(rig: JournalRig, mode: AttemptMode, says: string, usage?: object): GateRig {
  const one = rig.open(mode);
  one.chunk(role);
  one.chunk({ content: says });
  one.chunk({}, stop);
  if (usage) one.gate.sink.usage(usageChunk(usage));
  rig.journal.ended(one.gate, { ...completed, usage }, 1300);
  return one;
}

const openaiCall: ProviderCall = {
  body,
  stream: true,
  model: 'asked',
  baseUrl: 'http://127.0.0.1/v1',
  apiKey: undefined,
  traceparent: undefined,
  prefill: false,
  identity: undefined,
};

/** An OpenAI stream, to its end. */
function streams(rig: JournalRig, { gate }: GateRig, ...chunks: object[]): void {
  const reader = readStream(openaiCall, gate.sink);
  const bytes = Buffer.from(events(...chunks.map((one) => JSON.stringify(one)), '[DONE]'));
  const verdict = reader.push(bytes) ?? reader.end();
  if (verdict.kind === 'completed') rig.journal.ended(gate, verdict, 1);
}

describe('the usage beside a part of the answer', () => {
  const usage = counts(31, 33);
  const words = chunk({ ...role, content: text + rest });
  const end = chunk({}, stop);

  it.each([
    ['beside the last finish_reason', [words, { ...end, usage }]],
    ['beside one that is told again', [words, end, { ...end, usage }]],
    [
      'in every chunk',
      [
        { ...words, usage: counts(31, 1) },
        { ...end, usage },
      ],
    ],
    ['where Groq puts it', [words, { ...end, x_groq: { usage } }]],
  ])('is in a line of its own, and in the ledger: %s', (_where, chunks) => {
    for (const mode of ['start', 'replay'] as const) {
      const rig = mode === 'start' ? createJournalRig({ body }) : brokenOff();
      streams(rig, rig.open(mode), ...chunks);
      const lines = rig.entries().filter(({ kind }) => kind === 'chunk' || kind === 'usage');
      expect(lines.filter(({ kind }) => kind === 'usage')).toHaveLength(1);
      expect(JSON.stringify(lines.slice(0, -1))).not.toContain('usage');
      expect(usagesOf(rig)).toEqual({ shown: [usage], done: usage });
      expect(ledgerOf(rig).at(-1)).toMatchObject({ outcome: 'completed', usage });
    }
  });

  it('is known of a target that broke off, and not shown', () => {
    const rig = createJournalRig({ body });
    const one = rig.open();
    const reader = readStream(openaiCall, one.gate.sink);
    reader.push(Buffer.from(events(JSON.stringify({ ...words, usage: counts(25, 9) }))));
    rig.journal.ended(one.gate, broken, 1);
    expect(ledgerOf(rig)).toMatchObject([{ outcome: 'upstream_reset', usage: counts(25, 9) }]);
    expect(usagesOf(rig).shown).toEqual([]);
  });
});

describe('the usage over a seam', () => {
  it('is the first target’s prompt, and the answer once', () => {
    const rig = brokenOff(counts(25, 1));
    goesOn(rig, 'continue', rest, counts(90, 17));
    const usage = { ...counts(25, 34), estimated: true };
    expect(usagesOf(rig)).toEqual({ shown: [usage], done: usage });
    // The ledger has what each attempt cost.
    expect(ledgerOf(rig)).toMatchObject([
      { usage: counts(25, 17), estimated: 'completion', firstTokenAt: 1200 },
      { usage: counts(90, 17), firstTokenAt: 1300 },
    ]);
    expect(ledgerOf(rig)[1]).not.toHaveProperty('estimated');
  });

  it.each(['continue', 'anchor'] as const)(
    'is the caller’s share of the prompt where none was reported (%s)',
    (mode) => {
      const rig = brokenOff();
      const says = mode === 'anchor' ? `${chooseAnchor(text)}${rest}` : rest;
      goesOn(rig, mode, says, counts(mode === 'anchor' ? 220 : 60, Math.ceil(says.length / 4)));
      const { shown, done } = usagesOf(rig);
      expect(shown).toEqual([done]);
      const { prompt_tokens, completion_tokens, ...others } = done as Record<string, number>;
      expect(others).toEqual({
        total_tokens: Number(prompt_tokens) + Number(completion_tokens),
        estimated: true,
      });
      // The template, the question, and nothing of the answer.
      expect(prompt_tokens).toBeGreaterThan(5);
      expect(prompt_tokens).toBeLessThan(40);
      expect(completion_tokens).toBeGreaterThanOrEqual(33);
      expect(completion_tokens).toBeLessThanOrEqual(36);
    },
  );

  it('counts Chinese as its target does', () => {
    const rig = createJournalRig({
      body: JSON.stringify({ messages: [{ role: 'user', content: '磨坊？' }] }),
    });
    const first = rig.open();
    const [before, after] = [
      '河水推动水轮，水轮带动磨石，磨石把谷物磨成面粉。',
      '傍晚磨坊主清点麻袋，把数目写进账本。',
    ];
    first.chunk({ ...role, content: before });
    rig.journal.ended(first.gate, broken, 1);
    goesOn(rig, 'continue', after, counts(50, Math.round(after.length * 1.3)));
    const { completion_tokens, prompt_tokens } = usagesOf(rig).done as Record<string, number>;
    const real = (before.length + after.length) * 1.3;
    expect(Math.abs(Number(completion_tokens) - real)).toBeLessThan(3);
    expect(prompt_tokens).toBeGreaterThan(8);
    expect(prompt_tokens).toBeLessThan(30);
  });

  it('counts an answer once that was to go on and began anew', () => {
    const rig = brokenOff(counts(25, 1));
    goesOn(rig, 'continue', text + rest, counts(60, 30));
    expect(usagesOf(rig)).toEqual({ shown: [counts(25, 30)], done: counts(25, 30) });
  });

  it('is the report of a target that repeated the answer, as it is', () => {
    const rig = brokenOff(counts(25, 1));
    const usage = { ...counts(31, 33), cost: 0.25 };
    goesOn(rig, 'replay', text + rest, usage);
    expect(usagesOf(rig)).toEqual({ shown: [usage], done: usage });
  });

  it.each(['start', 'replay', 'continue', 'anchor'] as const)(
    'is an estimate where the answer was cut behind its last finish_reason (%s)',
    (mode) => {
      const rig = mode === 'start' ? createJournalRig({ body }) : brokenOff(counts(25, 1));
      const one = rig.open(mode);
      const repeated = { start: text, replay: text, continue: '', anchor: chooseAnchor(text) };
      one.chunk({ ...role, content: `${repeated[mode]}${rest}` });
      one.chunk({}, stop);
      rig.journal.ended(one.gate, { ...completed, isCut: true }, 1);
      const usage = { ...counts(mode === 'start' ? 14 : 25, 34), estimated: true };
      expect(usagesOf(rig)).toEqual({ shown: [usage], done: usage });
      expect(ledgerOf(rig).at(-1)).toMatchObject({ outcome: 'completed', estimated: 'all' });
    },
  );

  it('is not shown where a provider ends its stream in order and reports none, but known', () => {
    const rig = createJournalRig({ body });
    goesOn(rig, 'start', text + rest);
    expect(usagesOf(rig)).toEqual({ shown: [], done: { ...counts(14, 34), estimated: true } });
  });

  it('of one target after another is that of the last, not what another said on its way', () => {
    const rig = createJournalRig({ body });
    const first = rig.open();
    first.chunk({ ...role, content: text });
    first.gate.sink.usage(usageChunk(counts(25, 9)));
    rig.journal.ended(first.gate, broken, 1);
    goesOn(rig, 'continue', rest);
    expect(usagesOf(rig).done).toMatchObject({ prompt_tokens: 25, completion_tokens: 34 });
  });
});

describe('a worker that takes over', () => {
  const question: Entry[] = [started(1, primary), said(role), said(text)];

  it('has the prompt that the log says was reported, and no estimate of it', () => {
    for (const [estimated, prompt] of [
      ['completion', 25],
      ['all', 10],
    ] as const) {
      const end = ended(1, 'upstream_reset');
      const lost: Entry = { ...end, data: { ...end.data, usage: counts(25, 17), estimated } };
      const rig = createJournalRig({ body, run: 2, history: historyOf(...question, lost) });
      const beside = estimated === 'all' ? 14 / (14 + 27) : 0;
      goesOn(rig, 'continue', rest, counts(estimated === 'all' ? Math.round(10 / beside) : 90, 17));
      const { done } = usagesOf(rig);
      expect(done).toMatchObject({ completion_tokens: 34, estimated: true });
      const told = (done as Record<string, number>)['prompt_tokens'];
      expect(Math.abs(Number(told) - prompt)).toBeLessThan(estimated === 'all' ? 3 : 1);
    }
  });

  it('takes no usage for the answer’s that an attempt before the last one reported on its way', () => {
    const running = { ...chunk({ ...role, content: text }), usage: counts(25, 17) };
    const history = historyOf(
      started(1, primary),
      { kind: 'chunk', text: JSON.stringify(running) },
      ended(1, 'upstream_reset'),
      started(2, primary, 'continue'),
      {
        kind: 'seam',
        data: { attempt: 2, rung: 'continue', offset: text.length, outcome: 'passed' },
      },
      said(rest, stop),
    );
    const rig = createJournalRig({ body, run: 3, history });
    rig.journal.closeLost();
    rig.journal.complete();
    expect(usagesOf(rig).done).toMatchObject({ completion_tokens: 34, estimated: true });
  });

  it('counts what a lost attempt was asked, which is more where it was to go on', () => {
    const history = historyOf(
      ...question,
      ended(1, 'upstream_reset'),
      started(2, primary, 'continue'),
      {
        kind: 'seam',
        data: { attempt: 2, rung: 'continue', offset: text.length, outcome: 'passed' },
      },
      said(rest),
    );
    const rig = createJournalRig({ body, run: 3, history });
    rig.journal.closeLost();
    const [lost] = ledgerOf(rig) as { usage: Record<string, number> }[];
    const asked = Number(lost?.usage['prompt_tokens']);
    expect(asked).toBeGreaterThan((text.length + 60) / 4);
    expect(asked).toBeLessThan((text.length + 140) / 4);
    expect(lost).toMatchObject({ usage: { completion_tokens: 17 }, estimated: 'all' });
  });
});

describe('the ledger', () => {
  it('has what is known of one that another one outran', () => {
    const rig = createJournalRig({ body });
    const slow = rig.open();
    slow.gate.sink.usage(usageChunk(counts(25, 1)));
    const fast = rig.open();
    fast.chunk({ ...role, content: text });
    rig.journal.ended(slow.gate, { kind: 'superseded' });
    fast.chunk({}, stop);
    rig.journal.ended(fast.gate, { ...completed, usage: counts(24, 17) }, 1);
    expect(ledgerOf(rig)).toMatchObject([
      { attempt: 1, outcome: 'superseded', usage: counts(25, 1) },
      { attempt: 2, outcome: 'completed', usage: counts(24, 17) },
    ]);
    expect(usagesOf(rig).done).toEqual(counts(24, 17));
  });

  it('has what is known of one that is called off with the end of another', () => {
    const rig = createJournalRig({ body });
    const slow = rig.open();
    slow.gate.sink.usage(usageChunk(counts(25, 1)));
    const fast = rig.open();
    rig.journal.ended(fast.gate, { ...completed, usage: counts(24, 0) });
    expect(ledgerOf(rig)).toContainEqual(
      expect.objectContaining({ attempt: 1, outcome: 'superseded', usage: counts(25, 1) }),
    );
  });

  it('has an estimate of a whole answer that reports nothing, whose bytes stay as they are', () => {
    const rig = createJournalRig({ body });
    const message = { role: 'assistant', content: 'a'.repeat(40) };
    const whole = JSON.stringify({ choices: [{ index: 0, message, finish_reason: 'stop' }] });
    const result = { contentType: 'application/json', body: whole };
    rig.journal.ended(rig.open().gate, { ...completed, result }, 1);
    expect(rig.entries()[1]).toEqual({ kind: 'result', data: result });
    expect(ledgerOf(rig)).toMatchObject([{ usage: counts(14, 10), estimated: 'all' }]);
    expect(usagesOf(rig)).toEqual({ shown: [], done: { ...counts(14, 10), estimated: true } });
  });
});
