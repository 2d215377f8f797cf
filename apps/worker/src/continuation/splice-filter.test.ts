import type { JsonObject } from '@millrace/shared/domain/json';
import { describe, expect, it } from 'vitest';
import { createSpliceFilter } from './splice-filter.ts';
import type { SpliceFilter } from './splice-filter.ts';
import { chunk, deliveredOf, toolCall } from './history.fixture.ts';
import type { ContinuationStrategy } from './strategies.ts';
import { chooseAnchor } from './splice/anchor.ts';

const role = { role: 'assistant', content: '' };
const end = (index = 0) => chunk({}, { index, finish: 'stop' });

/** What the readers are given of these chunks, or why they are given nothing. */
function behind(filter: SpliceFilter, ...chunks: unknown[]): JsonObject[] | string {
  const shown: JsonObject[] = [];
  for (const step of [...chunks.map((one) => take(filter, one)), filter.end()]) {
    if (step.kind === 'dropped') return step.reason;
    if (step.kind === 'passed') shown.push(...step.chunks);
  }
  return shown;
}

const take = (filter: SpliceFilter, one: unknown) => filter.take(one, JSON.stringify(one).length);

const on = (strategy: ContinuationStrategy, ...shown: object[]) =>
  createSpliceFilter(strategy, deliveredOf(...shown), false);

it.each(['replay', 'continue', 'anchor'] as const)(
  'what cannot be compared lets nothing through: %s',
  (strategy) => {
    for (const other of [chunk(toolCall), chunk({ audio: { id: 'a' } })]) {
      const shown = [chunk({ content: 'Hello' }), other];
      expect(behind(on(strategy, ...shown), chunk({ content: 'Hello' }), end())).toBe('diverged');
    }
  },
);

describe('behind a replay', () => {
  const hello = chunk({ role: 'assistant', content: 'Hello' });

  it('only what is new is given, without a second role', () => {
    const chunks = [
      chunk(role),
      chunk({ content: 'Hel' }),
      chunk({ content: 'lo wor' }),
      chunk({ content: 'ld' }),
      end(),
    ];
    expect(behind(on('replay', hello), ...chunks)).toEqual([
      chunk({ content: ' wor' }),
      chunk({ content: 'ld' }),
      end(),
    ]);
  });

  it('an end right behind what was shown is given', () => {
    expect(behind(on('replay', hello), hello, end())).toEqual([end()]);
    const whole = chunk({ role: 'assistant', content: 'Hello' }, { finish: 'stop' });
    expect(behind(on('replay', hello), whole)).toEqual([end()]);
  });

  it('an end before that is none', () => {
    expect(behind(on('replay', hello), chunk({ content: 'Hell' }), end())).toBe('too_short');
    expect(behind(on('replay', hello), chunk({ content: 'Hell' }))).toBe('too_short');
  });

  it('every channel has to repeat its text, in any order', () => {
    const shown = [chunk({ reasoning_content: 'Hm.' }), hello];
    const again = [chunk({ reasoning_content: 'Hm.' }), chunk({ content: 'Hello you' })];
    expect(behind(on('replay', ...shown), ...again)).toEqual([chunk({ content: ' you' })]);
    const otherwise = [chunk({ reasoning_content: 'Ha.' }), hello];
    expect(behind(on('replay', ...shown), ...otherwise)).toBe('diverged');
    expect(behind(on('replay', ...shown), hello)).toBe('too_short');
    const more = [chunk({ reasoning_content: 'Hm. So' }), hello];
    expect(behind(on('replay', ...shown), ...more)).toBe('diverged');
  });

  it('reasoning is known by any of its names, and keeps those under which it was shown', () => {
    const again = [
      chunk({ reasoning_content: 'Hm. So' }),
      chunk({ reasoning_content: ' be it.' }),
      chunk({ content: 'Hello' }),
    ];
    expect(behind(on('replay', chunk({ reasoning: 'Hm.' })), ...again)).toEqual([
      chunk({ reasoning: ' So' }),
      chunk({ reasoning: ' be it.' }),
      chunk({ content: 'Hello' }),
    ]);
    const both = chunk({ reasoning: 'Hm.', reasoning_content: 'Hm.' });
    expect(behind(on('replay', both), again[0])).toEqual([
      chunk({ reasoning: ' So', reasoning_content: ' So' }),
    ]);
  });

  it('reasoning of which readers know nothing stays where it is', () => {
    const chunks = [chunk({ reasoning_content: 'Hm.' }), chunk({ content: 'Hello you' })];
    expect(behind(on('replay', hello), ...chunks)).toEqual([chunk({ content: ' you' })]);
  });

  it('a refusal in the place of the answer is a difference', () => {
    expect(behind(on('replay', hello), chunk({ refusal: 'No.' }))).toBe('diverged');
  });

  it('a tool call before the shown text is a difference, and behind it is given', () => {
    expect(behind(on('replay', hello), chunk({ content: 'Hel' }), chunk(toolCall))).toBe(
      'diverged',
    );
    expect(behind(on('replay', hello), hello, chunk(toolCall))).toEqual([chunk(toolCall)]);
  });

  describe('of several choices', () => {
    const hi = chunk({ role: 'assistant', content: 'Hi' }, { index: 1 });

    it('what is early waits until each has caught up', () => {
      const filter = on('replay', hello, hi);
      expect(take(filter, chunk({ content: 'Hello you' })).kind).toBe('held');
      expect(take(filter, chunk({ content: 'Hi yo' }, { index: 1 }))).toEqual({
        kind: 'passed',
        chunks: [chunk({ content: ' you' }), chunk({ content: ' yo' }, { index: 1 })],
      });
    });

    it('what waits is counted', () => {
      const filter = on('replay', hello, hi);
      const early = chunk({ content: 'Hello you' });
      take(filter, early);
      expect(filter.heldChars).toBe(JSON.stringify(early).length);
      take(filter, chunk({ content: 'H' }, { index: 1 }));
      expect(filter.heldChars).toBe(JSON.stringify(early).length);
      take(filter, chunk({ content: 'i' }, { index: 1 }));
      expect(filter.heldChars).toBe(0);
    });

    it('one of which readers know nothing begins with its role', () => {
      const chunks = [
        chunk(role),
        chunk(role, { index: 1 }),
        hello,
        chunk({ content: 'Hi' }, { index: 1 }),
      ];
      expect(behind(on('replay', hello), ...chunks)).toEqual([
        chunk({ role: 'assistant' }, { index: 1 }),
        chunk({ content: 'Hi' }, { index: 1 }),
      ]);
    });

    it('one that was shown to its end says nothing more', () => {
      const shown = [hello, end(), hi];
      const again = [hello, end(), chunk({ content: 'Hi you' }, { index: 1 }), end(1)];
      expect(behind(on('replay', ...shown), ...again)).toEqual([
        chunk({ content: ' you' }, { index: 1 }),
        end(1),
      ]);
      expect(behind(on('replay', ...shown), ...again.slice(0, 2), hello)).toBe('too_short');
      expect(behind(on('replay', hello, end()), hello, end(), hello)).toEqual([]);
    });

    it('one that was shown to its end has to come to it again, and not further', () => {
      const shown = [hello, end(), hi];
      expect(behind(on('replay', ...shown), chunk({ content: 'Hello you' }))).toBe('diverged');
      expect(behind(on('replay', ...shown), hello, hi, chunk({ content: '!' }))).toBe('diverged');
      expect(behind(on('replay', ...shown), hello, hi, chunk(toolCall))).toBe('diverged');
      expect(behind(on('replay', ...shown), hello, hi)).toBe('too_short');
    });
  });

  it('a text that says what a failure is called is a text', () => {
    expect(behind(on('replay', hello), hello, chunk({ content: 'diverged' }))).toEqual([
      chunk({ content: 'diverged' }),
    ]);
  });

  it('vendors’ own fields come along, and chunks that are none do no harm', () => {
    const chunks = [
      null,
      'x',
      { choices: 'x' },
      { choices: [null] },
      hello,
      { ...chunk({ content: '!', x: 1 }), y: 2 },
    ];
    expect(behind(on('replay', hello), ...chunks)).toEqual([
      { ...chunk({ content: '!', x: 1 }), y: 2 },
    ]);
  });
});

describe.each(['continue', 'anchor'] as const)('behind %s', (strategy) => {
  const text = 'The river turns the wheel, the wheel turns the stone,';
  const shown = chunk({ role: 'assistant', content: text });
  const start = strategy === 'anchor' ? (chooseAnchor(text) ?? '') : '';
  /** Up to the seam. */
  const begin = start === '' ? [] : [chunk({ content: start })];

  it('the text goes on, without a second role and without reasoning', () => {
    const chunks = [
      chunk(role),
      chunk({ reasoning_content: 'Where was I?' }),
      chunk({ content: `${start} and` }),
      chunk({ content: ' so on.' }),
      end(),
    ];
    expect(behind(on(strategy, shown), ...chunks)).toEqual([
      chunk({ content: ' and' }),
      chunk({ content: ' so on.' }),
      end(),
    ]);
  });

  it('text and end in one chunk are given one after the other', () => {
    const last = chunk({ content: `${start} and so on.` }, { finish: 'length' });
    expect(behind(on(strategy, shown), last)).toEqual([
      chunk({ content: ' and so on.' }),
      chunk({}, { finish: 'length' }),
    ]);
  });

  it.each([
    ['nothing', []],
    ['white space', [chunk({ content: ' \n' }), chunk({ content: '\n' })]],
    ['reasoning', [chunk({ reasoning_content: 'Is there more?' })]],
    [
      'thoughts in parts',
      [chunk({ content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'So' }] }] })],
    ],
  ])('an end after %s is not believed', (_, said) => {
    const chunks = [...begin, ...said];
    expect(behind(on(strategy, shown), ...chunks, end())).toBe('empty');
    expect(behind(on(strategy, shown), ...chunks, chunk({}, { finish: 'length' }))).toBe('empty');
    expect(behind(on(strategy, shown), ...chunks)).toBe('empty');
  });

  it('words in parts go on with the text, without the thoughts beside them', () => {
    const thought = { type: 'thinking', thinking: [{ type: 'text', text: 'Hm.' }] };
    const words = (text: string) => [{ type: 'text', text }, thought];
    const chunks = [
      chunk({ content: words(`${start} and`) }),
      chunk({ content: words(' so') }),
      chunk({ content: ' on.' }),
      end(),
    ];
    expect(behind(on(strategy, shown), ...chunks)).toEqual([
      chunk({ content: ' and' }),
      chunk({ content: ' so' }),
      chunk({ content: ' on.' }),
      end(),
    ]);
    const picture = chunk({ content: [{ type: 'image_url', image_url: { url: 'data:' } }] });
    expect(behind(on(strategy, shown), ...chunks.slice(0, 2), picture, end())).toBe('diverged');
  });

  it('a provider’s word on what may be said is given, with a word more or without', () => {
    const verdict = chunk({}, { finish: 'content_filter' });
    expect(behind(on(strategy, shown), ...begin, verdict)).toEqual([verdict]);
  });

  it('white space comes with the first word behind it', () => {
    const filter = on(strategy, shown);
    for (const one of begin) take(filter, one);
    expect(take(filter, chunk({ content: ' \n' }))).toEqual({ kind: 'held' });
    expect(filter.heldChars).toBe(2);
    expect(take(filter, chunk({ content: 'and' }))).toEqual({
      kind: 'passed',
      chunks: [chunk({ content: ' \nand' })],
    });
    expect(filter.heldChars).toBe(0);
    expect(behind(filter, chunk({ content: ' ' }), end())).toEqual([
      chunk({ content: ' ' }),
      end(),
    ]);
  });

  it.each([
    ['a refusal', { refusal: 'I cannot help with that.' }],
    ['a tool call', toolCall],
  ])('%s is no text, before the seam and behind it', (_, delta) => {
    expect(behind(on(strategy, shown), chunk(role), chunk(delta), end())).toBe('diverged');
    expect(behind(on(strategy, shown), ...begin, chunk(delta), end())).toBe('diverged');
    const words = chunk({ content: `${start} and` });
    expect(behind(on(strategy, shown), words, chunk(delta), end())).toBe('diverged');
  });

  it('a tool call goes on with the text where the request offers tools, and ends as one', () => {
    const finish = chunk({}, { finish: 'tool_calls' });
    const open = () => createSpliceFilter(strategy, deliveredOf(shown), true);
    const call = chunk(toolCall);
    expect(behind(open(), chunk(role), ...begin, call, finish)).toEqual([call, finish]);
    expect(behind(open(), chunk({ content: `${start} \n` }), call, finish)).toEqual([
      chunk({ content: ' \n' }),
      call,
      finish,
    ]);
    expect(behind(open(), chunk({ content: `${start} so:`, ...toolCall }), finish)).toEqual([
      chunk({ content: ' so:' }),
      call,
      finish,
    ]);
    expect(behind(open(), ...begin, finish)).toBe('empty');
    const why = { anchor: 'anchor_missing', continue: 'too_short' };
    expect(behind(open(), chunk({ content: text.slice(0, 9) }), call)).toBe(why[strategy]);
  });

  it('an end has no words, whatever field repeats them', () => {
    const delta = { content: `${start} on.` };
    const last = { index: 0, delta, text: delta.content, message: delta, finish_reason: 'stop' };
    expect(behind(on(strategy, shown), { ...chunk({}), choices: [last] })).toEqual([
      chunk({ content: ' on.' }),
      end(),
    ]);
  });

  it('nothing is given behind the end', () => {
    const chunks = [chunk({ content: `${start} on.` }), end(), chunk({ content: '!' }), end()];
    expect(behind(on(strategy, shown), ...chunks)).toEqual([chunk({ content: ' on.' }), end()]);
  });

  it('chunks that are none do no harm', () => {
    const chunks = [
      null,
      {},
      { choices: [] },
      { choices: [null] },
      chunk({ content: `${start} on.` }),
    ];
    expect(behind(on(strategy, shown), ...chunks)).toEqual([chunk({ content: ' on.' })]);
  });
});

describe('no continuation', () => {
  const text = 'The river turns the wheel, the wheel turns the stone,';
  const shown = chunk({ role: 'assistant', content: text });

  it('is an anchored answer without the anchor', () => {
    expect(behind(on('anchor', shown), chunk({ content: 'I cannot.' }), end())).toBe(
      'anchor_missing',
    );
    expect(behind(on('anchor', shown), end())).toBe('anchor_missing');
  });

  it('is a native one that begins anew and otherwise', () => {
    const anew = `${text.slice(0, 30)} and no further`;
    expect(behind(on('continue', shown), chunk({ content: anew }))).toBe('diverged');
  });
});
