import type { JsonObject } from '@millrace/shared/domain/json';
import { describe, expect, it } from 'vitest';
import { chunk, deliveredOf, toolCall } from './history.fixture.ts';
import { replayFilter } from './replay-filter.ts';

/* What a replay gives of all that is no plain text: parts, signatures, and what vendors send beside the answer. */

const end = (delta: object = {}) => chunk(delta, { finish: 'stop' });

/** What readers are given of a second run of `run`, when so many chunks of the first were shown. */
function replayed(run: readonly object[], cut: number, again: readonly object[] = run) {
  const filter = replayFilter(deliveredOf(...run.slice(0, cut)));
  const given: JsonObject[] = [];
  for (const one of again) {
    const step = filter.take(one, JSON.stringify(one).length);
    if (step.kind === 'dropped') return step.reason;
    if (step.kind === 'passed') given.push(...step.chunks);
  }
  const step = filter.end();
  return step.kind === 'dropped' ? step.reason : given;
}

/** Every value of a field of the deltas, in order. */
const valuesOf = (given: JsonObject[] | string, field: string): unknown[] =>
  typeof given === 'string'
    ? [given]
    : given.flatMap(({ choices }) =>
        (choices as { delta: Record<string, unknown> }[]).flatMap(
          ({ delta }) => delta[field] ?? [],
        ),
      );

const everyCut = (run: readonly object[], from = 1) =>
  Array.from({ length: run.length - from }, (_, i) => from + i);

describe('annotations and other vendor fields', () => {
  const cite = (n: number) => ({ type: 'url_citation', url: `https://example.org/${n}` });
  const run = [
    chunk({ role: 'assistant', content: 'One ', annotations: [cite(1)] }),
    chunk({ annotations: [cite(2), cite(3)] }),
    chunk({ executed_tools: [{ index: 0, type: 'search', arguments: '{}' }] }),
    chunk({ content: 'two ', channel: 'final', token_id: 7 }),
    chunk({ content: '', token_id: 9 }),
    chunk({ content: '', token_id: 9 }),
    chunk({ content: 'three.', channel: 'final', token_id: 7 }),
    chunk({ annotations: [cite(4)] }),
    end(),
  ];
  const fields = ['content', 'annotations', 'executed_tools', 'channel', 'token_id'];

  it('come once, wherever the first run broke off', () => {
    for (const cut of everyCut(run)) {
      const given = replayed(run, cut);
      for (const field of fields) {
        const all = [...valuesOf(run.slice(0, cut), field), ...valuesOf(given, field)];
        const wanted = valuesOf(run, field);
        const isText = field === 'content';
        expect(isText ? all.join('') : all, `${field} at ${cut}`).toEqual(
          isText ? wanted.join('') : wanted,
        );
      }
    }
  });

  it('of a chunk whose text was shown do not come again, and those of new text do', () => {
    const shown = [chunk({ content: 'One two' })];
    const again = [
      chunk({ content: 'One ', channel: 'a', annotations: [cite(1)] }),
      chunk({ content: 'two three', channel: 'b' }),
    ];
    expect(replayed(shown, 1, again)).toEqual([
      chunk({ annotations: [cite(1)] }),
      chunk({ content: ' three', channel: 'b' }),
    ]);
  });

  it('that repeat the text are cut where it is', () => {
    const piece = (text: string) => {
      const one = chunk({ content: text });
      const choices = one.choices.map((choice) => {
        return { ...choice, text, message: choice.delta, content_filter_results: {} };
      });
      return { ...one, choices };
    };
    const given = replayed([piece('Hello')], 1, [piece('Hello you')]);
    expect(given).toEqual([piece(' you')]);
  });

  it('of a choice or a chunk without a word come once', () => {
    const filter = (start: number) => ({
      ...chunk({}),
      choices: [{ index: 0, delta: {}, content_filter_offsets: { start }, finish_reason: null }],
    });
    const apart = { id: 'x', choices: [], prompt_filter_results: [{ prompt_index: 0 }] };
    const story = [chunk({ content: 'Hello' }), filter(0), apart, filter(5), end()];
    for (const cut of everyCut(story)) {
      expect(replayed(story, cut), `at ${cut}`).toEqual(story.slice(cut));
    }
  });

  it('do not hold a stream back that has no more of them than fit', () => {
    const many = Array.from({ length: 3000 }, (_, n) => cite(n)).map((one) => ({
      ...one,
      title: 't'.repeat(500),
    }));
    const shown = [chunk({ content: 'Hello', annotations: many })];
    const again = [chunk({ content: 'Hello', annotations: many }), chunk({ content: ' you' })];
    expect(replayed(shown, 1, again)).toEqual([chunk({ content: ' you' })]);
  });
});

describe('reasoning in parts', () => {
  const detail = (part: object) => ({ type: 'reasoning.text', index: 0, ...part });
  const thought = (text: string) =>
    chunk({ content: '', reasoning: text, reasoning_details: [detail({ text })] });
  const signed = chunk({ content: '', reasoning_details: [detail({ signature: 'S1' })] });
  const sealed = chunk({
    content: '',
    reasoning_details: [{ type: 'reasoning.encrypted', index: 1, data: 'AAAA' }],
  });
  const run = [
    chunk({ role: 'assistant', content: '', reasoning_details: [detail({ text: '' })] }),
    thought('I must '),
    thought('weigh it.'),
    signed,
    sealed,
    chunk({ content: 'One moment.', reasoning_details: [] }),
    chunk(toolCall),
    end(),
  ];

  it('is whole behind the seam, with its signature and what is encrypted', () => {
    for (const cut of everyCut(run.slice(0, 6))) {
      const given = replayed(run, cut);
      const all = [...run.slice(0, cut), ...(typeof given === 'string' ? [] : given)];
      for (const field of ['reasoning', 'content']) {
        expect(valuesOf(all, field).join(''), `${field} at ${cut}`).toBe(
          valuesOf(run, field).join(''),
        );
      }
      const parts = valuesOf(all, 'reasoning_details') as Record<string, string>[];
      for (const field of ['text', 'signature', 'data']) {
        const said = parts.map((part) => part[field] ?? '').join('');
        expect(said, `${field} at ${cut}`).toBe(
          { text: 'I must weigh it.', signature: 'S1', data: 'AAAA' }[field],
        );
      }
      expect(valuesOf(given, 'tool_calls')).toEqual(toolCall.tool_calls);
    }
  });

  it('is compared however it is cut into chunks', () => {
    const again = [thought('I mu'), thought('st weigh'), thought(' it. Now.'), end()];
    expect(replayed(run, 2, again)).toEqual([
      chunk({ reasoning: 'weigh', reasoning_details: [detail({ text: 'weigh' })] }),
      chunk({ reasoning: ' it. Now.', reasoning_details: [detail({ text: ' it. Now.' })] }),
      end(),
    ]);
  });

  it.each([
    ['other words', thought('I shall')],
    ['a part of another type', chunk({ reasoning_details: [{ type: 'x', text: 'I must ' }] })],
    [
      'a part that ends before',
      chunk({ reasoning_details: [detail({ text: 'I' }), detail({ signature: 'S' })] }),
    ],
    ['more in a part that was whole', thought('I must weigh it. Yes.')],
  ])('is none that goes on with %s', (_, other) => {
    expect(replayed(run, 5, [other, end()])).toBe('diverged');
  });

  it('is none that is encrypted to something else, and one that is signed otherwise', () => {
    const other = (field: string, value: string) =>
      run.map((one) => JSON.parse(JSON.stringify(one).replace(field, value)) as object);
    expect(replayed(run, 5, other('AAAA', 'BBBB'))).toBe('diverged');
    expect(valuesOf(replayed(run, 5, other('S1', 'S2')), 'content')).toEqual(['One moment.']);
  });

  it('goes on in parts where a provider sends its text only', () => {
    const again = [chunk({ reasoning_content: 'I must weigh' }), chunk({ content: 'Well.' })];
    expect(replayed(run, 2, again)).toEqual([
      chunk({ reasoning: 'weigh', reasoning_details: [detail({ text: 'weigh' })] }),
      chunk({ content: 'Well.' }),
    ]);
  });

  it('that came as a text only is followed by parts that are signed, whole and at the end', () => {
    const shown = [chunk({ reasoning_content: 'I must ' })];
    const given = replayed(shown, 1, run);
    expect(valuesOf(given, 'reasoning_content').join('')).toBe('weigh it.');
    expect(valuesOf(given, 'reasoning')).toEqual([]);
    const parts = valuesOf(given, 'reasoning_details');
    expect(parts).toEqual(valuesOf(run.slice(1, 5), 'reasoning_details'));
    const unsigned = [thought('I must '), thought('go.'), end()];
    expect(valuesOf(replayed(shown, 1, unsigned), 'reasoning_details')).toEqual([]);
  });

  it('as the thinking blocks behind tool calls comes with them', () => {
    const blocks = { thinking_blocks: [{ type: 'thinking', thinking: 'Hm.', signature: 'S' }] };
    const story = [chunk({ reasoning_content: 'Hm.' }), chunk(toolCall), chunk(blocks), end()];
    expect(replayed(story, 1)).toEqual(story.slice(1));
  });
});

describe('a content in parts', () => {
  const thinking = (text: string) => ({
    content: [{ type: 'thinking', thinking: [{ type: 'text', text }] }],
  });
  const run = [
    chunk({ role: 'assistant', content: '' }),
    chunk(thinking('Okay, ')),
    chunk(thinking('a tale.')),
    chunk({ content: [{ type: 'thinking', thinking: [], closed: true }] }),
    chunk({ content: 'Once ' }),
    chunk({ content: 'upon a time.' }),
    end(),
  ];

  it('goes on wherever it broke off', () => {
    for (const cut of everyCut(run, 2))
      expect(replayed(run, cut), `at ${cut}`).toEqual(run.slice(cut));
    expect(replayed(run, 2, [chunk(thinking('Okay, a')), ...run.slice(4)])).toEqual([
      chunk(thinking('a')),
      ...run.slice(4),
    ]);
  });

  it('is no other one', () => {
    expect(replayed(run, 3, [chunk(thinking('Okay, no.')), end()])).toBe('diverged');
    expect(replayed(run, 5, run.slice(4))).toBe('diverged');
  });
});

describe('log probabilities', () => {
  const token = (content: string, logprob = -1) =>
    chunk({ content }, { logprobs: { content: [{ token: content, logprob }], refusal: null } });
  const run = [token('One '), token('two '), token('three.'), end()];

  it('that repeat exactly go on, each with its token', () => {
    for (const cut of everyCut(run)) expect(replayed(run, cut)).toEqual(run.slice(cut));
  });

  it('that differ are another answer', () => {
    expect(replayed(run, 2, [token('One '), token('two ', -2), ...run.slice(2)])).toBe('diverged');
  });
});
