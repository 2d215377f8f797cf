import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from './ask.ts';
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
const prefilled = (content: unknown) => ({
  messages: [question, { role: 'assistant', content }],
});

describe('a trailing assistant message', () => {
  it.each([0, 1, 57, 90, whole.length])(
    'is continued after character %i by a provider with prefill',
    async (length) => {
      const shown = whole.slice(0, length);
      const got = await ask(simulator.url, 'prefill:tokens=30', prefilled(shown));
      expect(shown + got.text).toBe(whole);
      expect(got).toMatchObject({ finish: 'stop', terminated: true });
    },
  );

  it('is continued when it comes in parts', async () => {
    const parts = [{ type: 'text', text: whole.slice(0, 60) }];
    const got = await ask(simulator.url, 'prefill:tokens=30', prefilled(parts));
    expect(whole.slice(0, 60) + got.text).toBe(whole);
  });

  it('is ignored by a provider without prefill, and refused by one that rejects it', async () => {
    const shown = prefilled(whole.slice(0, 60));
    expect((await ask(simulator.url, 'healthy:tokens=30', shown)).text).toBe(whole);
    expect((await ask(simulator.url, 'no-prefill:tokens=30', shown)).status).toBe(400);
    expect((await ask(simulator.url, 'no-prefill:tokens=30')).text).toBe(whole);
  });

  it('overlaps only where one text ends as the other begins', () => {
    expect(overlap('abcabd', 'xxabcab')).toBe(5);
    expect(overlap('abc', 'xyz')).toBe(0);
    expect(overlap('', 'xyz')).toBe(0);
    expect(overlap('abc', 'zzabcabc')).toBe(3);
  });
});

describe('a request to repeat the last words and go on', () => {
  const shown = whole.slice(0, 100);
  const anchor = shown.slice(-37);
  const content = `Your answer broke off:\n<answer>${shown}</answer>\nRepeat <<${anchor}>> word for word, then go on.`;
  const reply = async (style: string) =>
    (
      await ask(simulator.url, `anchored:tokens=30,anchor=${style}`, {
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

  it('gets the answer from the beginning when it shows nothing of it', async () => {
    expect((await ask(simulator.url, 'anchored:tokens=30')).text).toBe(whole);
  });

  it('can be asked of a text in which the anchor is not unique, or that goes another way', async () => {
    const repeating = (await ask(simulator.url, 'healthy:tokens=40,repeat=5')).text;
    expect(repeating.split(' w10 w11 w12 w13 w14')).toHaveLength(7);
    const diverging = (await ask(simulator.url, 'healthy:tokens=30,diverge=15')).text;
    expect(overlap(diverging, whole)).toBe(0);
    expect(diverging.slice(0, 80)).toBe(whole.slice(0, 80));
    expect(diverging).not.toBe(whole);
  });
});
