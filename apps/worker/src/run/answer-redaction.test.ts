import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assembleCompletion } from '@millrace/formats/openai-chat/completion';
import { nativeMember } from '@millrace/formats/client-port';
import { redactBody, redactSink } from './answer-redaction.ts';

const secret = 'sk-test-4f9Qm27LxZ81TbWv';

/** A chunk of one choice. */
const deltaChunk = (delta: Readonly<Record<string, unknown>>, finish: string | null = null) => ({
  id: 'c',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta, finish_reason: finish }],
});

type Delta = Record<string, unknown>;

/** What readers are sent of these deltas. */
function send(deltas: readonly Delta[], key: string | undefined = secret) {
  const texts: string[] = [];
  const sink = redactSink(
    {
      plain: (text, content) => {
        texts.push(text);
        expect(JSON.parse(text)).toMatchObject({ choices: [{ delta: { content } }] });
      },
      chunk: (text, chunk) => {
        texts.push(text);
        expect(JSON.parse(text)).toEqual(chunk);
      },
      usage: (text) => texts.push(text),
    },
    key,
  );
  for (const delta of deltas) {
    const chunk = deltaChunk(delta);
    const text = JSON.stringify(chunk);
    const { content } = delta;
    const isPlain =
      typeof content === 'string' && content !== '' && Object.keys(delta).length === 1;
    if (isPlain) sink.plain(text, content);
    else sink.chunk(text, chunk, true);
  }
  const said = texts.map((text) => {
    const { choices } = JSON.parse(text) as { choices: { delta: { content?: string } }[] };
    return choices[0]?.delta.content ?? '';
  });
  return { texts, content: said.join('') };
}

const pieces = (text: string, size: number): Delta[] =>
  (text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []).map((content) => ({ content }));

describe('the key in a streamed answer', () => {
  it('is taken out where only the provider’s own event has it, over several pieces', () => {
    const texts: string[] = [];
    const fail = () => expect.unreachable();
    const sink = redactSink(
      { plain: fail, usage: fail, chunk: (text) => void texts.push(text) },
      secret,
    );
    for (const piece of [secret.slice(0, 12), secret.slice(12), ' end']) {
      const parts = [{ future: piece }];
      const event = { type: 'x', delta: { partial_json: piece }, candidates: [{ parts }] };
      const chunk = { ...deltaChunk({}), [nativeMember]: event };
      sink.chunk(JSON.stringify(chunk), chunk, false);
    }
    const said = texts.map((text) => {
      const { [nativeMember]: event } = JSON.parse(text) as Record<
        string,
        { delta: { partial_json: string }; candidates: { parts: { future: string }[] }[] }
      >;
      return [event?.delta.partial_json ?? '', event?.candidates[0]?.parts[0]?.future ?? ''];
    });
    expect(said.map(([one]) => one).join('')).toBe('sk-test-*** end');
    expect(said.map(([, other]) => other).join('')).toBe('sk-test-*** end');
  });

  it.each([1, 5, 8, 12])(
    'is taken out where the provider’s own event repeats the text, in pieces of %i',
    (size) => {
      const texts: string[] = [];
      const fail = () => expect.unreachable();
      const sink = redactSink(
        { plain: fail, usage: fail, chunk: (text) => void texts.push(text) },
        secret,
      );
      for (const { content } of pieces(`It is ${secret}. That is it.`, size)) {
        const parts = [{ text: content, thought: true }];
        const event = { candidates: [{ content: { parts } }] };
        const chunk = { ...deltaChunk({ reasoning_content: content }), [nativeMember]: event };
        sink.chunk(JSON.stringify(chunk), chunk, true);
      }
      const said = texts.map((text) => {
        const { [nativeMember]: event, choices } = JSON.parse(text) as {
          [nativeMember]?: { candidates: { content: { parts: { text: string }[] } }[] };
          choices: { delta: { reasoning_content?: string } }[];
        };
        const own = event?.candidates[0]?.content.parts[0]?.text;
        return own ?? choices[0]?.delta.reasoning_content ?? '';
      });
      expect(said.join('')).toMatch(/^It is (sk-test-)?\*\*\*\. That is it\.$/);
    },
  );

  it.each([1, 2, 3, 5, 8, 12, 30])('is taken out where it comes in pieces of %i', (size) => {
    const { content } = send(pieces(`It is ${secret}, or ${secret}${secret}!`, size));
    expect(content).toMatch(/^It is (sk-test-)?\*\*\*, or (sk-test-)?\*\*\*(sk-test-)?\*\*\*!$/);
  });

  it.each([1, 2, 3, 5, 8, 12, 30])('so it is beside other fields, in pieces of %i', (size) => {
    const all = pieces(`It is "${secret}", or ${secret}\n.`, size);
    const { texts, content } = send(all.map((one) => ({ ...one, channel: 'final' })));
    expect(content).toMatch(/^It is "(sk-test-)?\*\*\*", or (sk-test-)?\*\*\*\n\.$/);
    expect(texts.join('')).toContain('"channel":"final"');
  });

  it('is taken out of every text, the names of members, and in every form', () => {
    const hex = Buffer.from(secret).toString('hex');
    const base64 = Buffer.from(secret).toString('base64');
    const { texts } = send([
      { reasoning_content: secret.slice(0, 12) },
      { reasoning_content: secret.slice(12) },
      { tool_calls: [{ index: 0, function: { arguments: secret.slice(0, 15) } }] },
      { tool_calls: [{ index: 0, function: { arguments: secret.slice(15) } }] },
      { [secret]: true, content: hex, refusal: `x${base64}` },
    ]);
    const all = texts.join('');
    expect(all).not.toContain('Qm27');
    expect(all).not.toContain(hex.slice(0, 20));
    expect(all).not.toContain(base64.slice(0, 20));
    expect(all).toContain('"***":true');
  });

  it('costs no letter of what only looks like it', () => {
    const text =
      'sk-test-4f9Qm27LxZ81TbW? Keys begin with sk-test-4f9Q, sk-test-sk-test-4f9Qm and more.';
    for (const size of [1, 2, 4, 9]) expect(send(pieces(text, size)).content).toBe(text);
  });

  describe('which the answer only begins', () => {
    const sent = (deltas: readonly Delta[], last: Delta = {}) => {
      const texts: string[] = [];
      const sink = redactSink(
        {
          plain: (text) => texts.push(text),
          chunk: (text) => texts.push(text),
          usage: () => {},
        },
        secret,
      );
      for (const delta of deltas) {
        const chunk = deltaChunk(delta);
        const { content } = delta;
        const isPlain = typeof content === 'string' && Object.keys(delta).length === 1;
        if (isPlain) sink.plain(JSON.stringify(chunk), content);
        else sink.chunk(JSON.stringify(chunk), chunk, true);
      }
      const end = deltaChunk(last, 'stop');
      sink.chunk(JSON.stringify(end), end, false);
      return assembleCompletion(texts.map((text): unknown => JSON.parse(text)))?.choices[0];
    };
    const begun = secret.slice(0, 15);

    it.each([1, 2, 7, 30])('is whole at its end, in pieces of %i', (size) => {
      const words = `Keys begin with ${begun}`;
      expect(sent(pieces(words, size))).toMatchObject({
        message: { content: words },
        finish_reason: 'stop',
      });
      const all = pieces(words, size);
      expect(sent(all.slice(0, -1), all.at(-1))).toMatchObject({ message: { content: words } });
    });

    it('is whole whatever its texts are and however they are cut', () => {
      const word = fc.constantFrom('sk', '-test-', 'sk-test-4f9Q', 'm27', 'a', 's', ' ', '€', '\n');
      const field = fc.constantFrom('content', 'reasoning_content', 'refusal');
      fc.assert(
        fc.property(fc.array(fc.tuple(field, word)), fc.boolean(), (said, isPlain) => {
          const texts: Record<string, string> = { content: '', reasoning_content: '', refusal: '' };
          for (const [name, text] of said) texts[name] += text;
          fc.pre(!Object.values(texts).some((text) => text.includes(secret)));
          const deltas = said.map(([name, text]) => ({ [name]: text, ...(!isPlain && { x: 1 }) }));
          const message: Record<string, unknown> = { ...sent(deltas)?.message };
          for (const [name, text] of Object.entries(texts)) expect(message[name] ?? '').toBe(text);
        }),
      );
    });

    it('is whole in each of its texts', () => {
      const call = { id: 'a', type: 'function', function: { name: 'f', arguments: '' } };
      const deltas = [
        { reasoning_content: `So ${begun}` },
        { content: `It is ${begun}` },
        { tool_calls: [{ index: 0, ...call }] },
        { tool_calls: [{ index: 0, function: { arguments: `{"a":"${begun}` } }] },
        { tool_calls: [{ index: 0, function: { arguments: '"}' } }] },
      ];
      expect(sent(deltas)?.message).toEqual({
        role: 'assistant',
        reasoning_content: `So ${begun}`,
        content: `It is ${begun}`,
        refusal: null,
        tool_calls: [{ ...call, function: { name: 'f', arguments: `{"a":"${begun}"}` } }],
      });
      expect(sent(deltas.slice(0, -1))?.message.tool_calls).toMatchObject([
        { function: { arguments: `{"a":"${begun}` } },
      ]);
    });
  });

  it('leaves every chunk without it as it is, byte for byte', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('sk', '-test', '-', '4f9Q', 'm27', 'a', 's', ' ', '€')),
        (words) => {
          const text = `${words.join('')}.`;
          fc.pre(!text.includes(secret));
          const all: readonly string[] = [...words, '.'];
          expect(send(all.map((content) => ({ content }))).content).toBe(text);
        },
      ),
    );
    const deltas = [
      { role: 'assistant', content: '' },
      { content: 'Hi' },
      { vendor: [1, { a: null }] },
    ];
    const { texts } = send(deltas);
    expect(texts).toEqual(deltas.map((delta) => JSON.stringify(deltaChunk(delta))));
  });

  it.each([undefined, 'none', 'x', 'lm-studio', 'not-needed', 'assistant', 'NO_KEY_REQUIRED'])(
    'is not looked for where it is %j',
    (key) => {
      const words = 'none x lm-studio not-needed NO_KEY_REQUIRED';
      expect(send([{ role: 'assistant', content: words }], key).texts.join('')).not.toContain(
        '***',
      );
      expect(redactBody(`{"role":"assistant","content":"${words}"}`, key)).not.toContain('***');
    },
  );
});

it('the key in a whole answer is taken out of its text', () => {
  expect(redactBody(`{"a":"${secret}","n":12345678901234567890}`, secret)).toBe(
    '{"a":"***","n":12345678901234567890}',
  );
  expect(redactBody('{"a":1}', secret)).toBe('{"a":1}');
});
