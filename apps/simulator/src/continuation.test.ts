import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from './ask.ts';
import { askMessage } from './ask-messages.ts';
import { overlap } from './continuation.ts';
import type { Simulator } from './index.ts';
import { expectedText, startSimulator } from './index.ts';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator();
});
afterAll(() => simulator.close());

const whole = expectedText({ tokens: 30 });
const question = { role: 'user', content: 'hello' };
const FORMATS = [
  ['OpenAI', ask],
  ['Anthropic', askMessage],
] as const;
const prefilled = (content: unknown) => ({
  messages: [question, { role: 'assistant', content }],
});

describe('a trailing assistant message', () => {
  it.each(FORMATS)(
    'is continued by %s with prefill from exactly the character after it',
    async (name, send) => {
      // Every place in the opening, inside its tokens too. Anthropic refuses a space at the end.
      const lengths = Array.from({ length: 60 }, (_, length) => length).filter(
        (length) => name === 'OpenAI' || whole[length - 1] !== ' ',
      );
      for (const length of [...lengths, 90, 133, whole.length]) {
        const shown = whole.slice(0, length);
        const got = await send(simulator.url, 'prefill:tokens=30', prefilled(shown));
        expect(shown + got.text).toBe(whole);
        expect(got).toMatchObject({ status: 200, terminated: true });
      }
    },
  );

  it.each(FORMATS)('is continued by %s inside joined characters', async (_, send) => {
    const model = 'prefill:tokens=30,unicode=1,quotes=1';
    const text = expectedText({ tokens: 30, unicode: 1, quotes: 1 });
    for (const place of ['👩', '👩\u200d', '🏳', 'e', '"w15']) {
      const shown = text.slice(0, text.indexOf(place, 80) + place.length);
      const got = await send(simulator.url, model, prefilled(`Sure. ${shown}`));
      expect(shown + got.text).toBe(text);
    }
  });

  it('that one format began is continued in the other', async () => {
    const cut = await askMessage(simulator.url, 'cut:after=17,tokens=30');
    const rest = await ask(simulator.url, 'prefill:tokens=30', prefilled(cut.text));
    expect(cut.text + rest.text).toBe(whole);
    const begun = await ask(simulator.url, 'cut:after=9,tokens=30');
    const more = await askMessage(simulator.url, 'prefill:tokens=30', prefilled(begun.text));
    expect(begun.text + more.text).toBe(whole);
  });

  it('is continued when it comes in parts', async () => {
    const parts = [{ type: 'text', text: whole.slice(0, 60) }];
    const got = await ask(simulator.url, 'prefill:tokens=30', prefilled(parts));
    expect(whole.slice(0, 60) + got.text).toBe(whole);
  });

  it('is ignored by a provider without prefill, and refused by one that rejects it', async () => {
    const shown = prefilled(whole.slice(0, 60));
    expect((await ask(simulator.url, 'healthy:tokens=30', shown)).text).toBe(whole);
    for (const [, send] of FORMATS) {
      const refused = await send(simulator.url, 'no-prefill:tokens=30', shown);
      expect([refused.status, refused.raw]).toEqual([
        400,
        expect.stringContaining(
          'This model does not support assistant message prefill. The conversation must end with a user message.',
        ),
      ]);
    }
    expect((await ask(simulator.url, 'no-prefill:tokens=30')).text).toBe(whole);
  });

  it('overlaps only where one text ends as the other begins', () => {
    expect(overlap('abcabd', 'xxabcab')).toBe(5);
    expect(overlap('abc', 'xyz')).toBe(0);
    expect(overlap('', 'xyz')).toBe(0);
    expect(overlap('abc', 'zzabcabc')).toBe(3);
  });
});

describe.each(FORMATS)('a request to repeat the last words and go on, to %s', (_, send) => {
  const shown = whole.slice(0, 100);
  const anchor = shown.slice(-37);
  const content = `Your answer broke off:\n<answer>${shown}</answer>\nRepeat <<${anchor}>> word for word, then go on.`;
  const reply = async (style: string) =>
    (
      await send(simulator.url, `anchored:tokens=30,anchor=${style}`, {
        messages: [{ role: 'user', content }],
      })
    ).text;

  it('is obeyed exactly, with the anchor that the request quotes', async () => {
    expect(await reply('exact')).toBe(anchor + whole.slice(100));
  });

  it('is obeyed with a preamble, with quotes, and with other white space', async () => {
    expect(await reply('preamble')).toMatch(/^Sure, here/u);
    expect(await reply('preamble')).toContain(anchor.trimStart() + whole.slice(100));
    expect(await reply('quoted')).toBe(`"${anchor.trim()}"${whole.slice(100)}`);
    expect((await reply('spaces')).replaceAll('\n', '')).toBe(anchor + whole.slice(100));
  });

  it('is disobeyed by a drift in the anchor, and by leaving it out', async () => {
    const drifted = await reply('drift');
    expect(drifted.endsWith(whole.slice(100))).toBe(true);
    expect(drifted.startsWith(anchor)).toBe(false);
    expect(await reply('none')).toBe(whole.slice(100));
  });

  it('is found in any wording, and in several messages', async () => {
    const messages = [
      question,
      { role: 'assistant', content: [{ type: 'text', text: shown }] },
      { role: 'user', content: `Go on. Begin by saying "${anchor}" again.` },
    ];
    const got = await send(simulator.url, 'anchored:tokens=30', { messages });
    expect(got.text).toBe(anchor + whole.slice(100));
    const unquoted = `You said: ${shown}\n\nRepeat its last forty characters, then continue.`;
    const asked = { messages: [{ role: 'user', content: unquoted }] };
    expect((await send(simulator.url, 'anchored:tokens=30', asked)).text).toBe(whole.slice(60));
  });

  it('gets the answer from the beginning when it shows nothing of it', async () => {
    expect((await send(simulator.url, 'anchored:tokens=30')).text).toBe(whole);
  });

  it('can be asked of a text in which the anchor is not unique, or that goes another way', async () => {
    const repeating = (await send(simulator.url, 'healthy:tokens=40,repeat=5')).text;
    expect(repeating.split(' w10 w11 w12 w13 w14')).toHaveLength(7);
    const diverging = (await send(simulator.url, 'healthy:tokens=30,diverge=15')).text;
    expect(overlap(diverging, whole)).toBe(0);
    expect(diverging.slice(0, 80)).toBe(whole.slice(0, 80));
    expect(diverging).not.toBe(whole);
  });
});
