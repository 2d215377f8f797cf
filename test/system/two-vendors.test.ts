import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ask, askWhole, eventsOf, getJob, requestId } from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { expectWhole, readPlain, readStory } from '../kit/judge.ts';
import { asked } from '../kit/observe.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { startRawProvider } from '../kit/raw-provider.ts';
import type { RawProvider } from '../kit/raw-provider.ts';
import { expectedReasoning, expectedText, expectedTokens } from '../../apps/simulator/src/index.ts';
import {
  callsOf,
  chunksOf,
  expectedCalls,
  expectOneAnswer,
  finishOf,
  namedCalls,
  reasoningOf,
} from './shown.ts';

// One answer from two wire formats: each of them breaks, and another continues. The reader gets one chat completion, whatever
// the target spoke.

const vendors = ['openai', 'anthropic', 'responses'] as const;
type Vendor = (typeof vendors)[number];
const next = { openai: 'anthropic', anthropic: 'responses', responses: 'openai' } as const;
const other = (vendor: Vendor): Vendor => next[vendor];

const target = (role: 'primary' | 'backup', vendor: Vendor, model: string, more: object = {}) => ({
  provider: nameOf(role, vendor),
  model,
  ...more,
});

function nameOf(role: 'primary' | 'backup', vendor: Vendor): string {
  return vendor === 'openai' ? role : `${role}-${vendor}`;
}

/** The first target of one vendor, the next of the other. */
const pair = (vendor: Vendor, first: string, second: string, more: object = {}) => ({
  targets: [target('primary', vendor, first), target('backup', other(vendor), second, more)],
});

const cut = 'cut:after=40';
const mayPrefill = { prefill: true };

/** Aliases by what happens, with the vendor that answers first. */
const storiesOf = (vendor: Vendor) => ({
  anchor: pair(vendor, cut, 'anchored:anchor=exact'),
  prefill: pair(vendor, cut, 'prefill', mayPrefill),
  'prefill refused': pair(vendor, cut, 'no-prefill:anchor=exact', mayPrefill),
  replay: pair(vendor, cut, 'healthy'),
  'error event': pair(vendor, 'error-event:after=40,done=0', 'anchored:anchor=exact'),
  'clean end': pair(vendor, 'end-without-finish:after=40', 'anchored:anchor=exact'),
  'cut thoughts': pair(vendor, 'cut:after=2,reasoning=6', 'healthy:reasoning=6'),
  'cut call': pair(vendor, 'cut:after=3,say=tools', 'tools:calls=2'),
  overloaded: pair(vendor, 'status:error=overloaded', 'healthy'),
  'too long': pair(vendor, 'status:error=context_length_exceeded', 'healthy'),
  filtered: pair(vendor, 'status:error=content_filter', 'healthy'),
});

const models = {
  ...Object.fromEntries(
    vendors.flatMap((vendor) =>
      Object.entries(storiesOf(vendor)).map(([name, model]) => [`${vendor} ${name}`, model]),
    ),
  ),
  ...Object.fromEntries(
    [
      'healthy',
      'healthy:reasoning=6',
      'tools:calls=2',
      'length',
      'no-terminator',
      'healthy:eol=crlf,nospace=1,comments=1,vendor=1,bytes=5,unicode=1',
    ].flatMap((model) => [
      [`claude ${model}`, { targets: [target('primary', 'anthropic', model)] }],
      [`responses ${model}`, { targets: [target('primary', 'responses', model)] }],
    ]),
  ),
  'claude or gpt': {
    targets: [
      target('primary', 'anthropic', 'healthy'),
      target('primary', 'responses', 'healthy'),
      target('backup', 'openai', 'healthy'),
    ],
  },
  'claude again': { targets: [target('primary', 'anthropic', 'cut:after=40,times=1,key=again')] },
  'after a space': {
    targets: [
      { provider: 'raw', model: 'space' },
      target('backup', 'anthropic', 'prefill', mayPrefill),
    ],
  },
};

const text = expectedText({ tokens: 60 });
const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }];

/** Ends in order, without a finish_reason, after a text that ends in white space. */
const spaceAtEnd = [...expectedTokens({ tokens: 40 }), ' ']
  .map((content, n) => {
    const delta = n === 0 ? { role: 'assistant', content } : { content };
    const choices = [{ index: 0, delta, finish_reason: null }];
    const chunk = { id: 'raw-1', object: 'chat.completion.chunk', created: 1, model: 'raw' };
    return `data: ${JSON.stringify({ ...chunk, choices })}\n\n`;
  })
  .join('');

let fleet: Fleet;
let raw: RawProvider;
beforeAll(async () => {
  raw = await startRawProvider({ space: { contentType: 'text/event-stream', body: spaceAtEnd } });
  const providers = { raw: { api: 'openai', baseUrl: raw.baseUrl } };
  fleet = await startFleet({ models, config: { providers } });
});
afterAll(async () => {
  await fleet.close();
  await raw.close();
});

// Faults that come once come again in a second try.
beforeEach(() => {
  fleet.primary.reset();
  fleet.backup.reset();
});

let count = 0;
const freshUser = () => `two-vendors-${(count += 1)}`;

const askFor = (alias: string, body: Record<string, unknown> = {}) =>
  ask(fleet.url, alias, { body: { stream_options: { include_usage: true }, ...body } });

const modesOf = async (stream: Stream): Promise<string[]> => {
  const { attempts } = readStory(await eventsOf(fleet.url, await requestId(stream)));
  return attempts.map(({ provider, mode }) => `${provider} ${mode}`);
};

const outcomesOf = async (stream: Stream): Promise<string[]> => {
  const { attempts } = await getJob(fleet.url, await requestId(stream));
  return attempts.map(({ outcome }) => outcome);
};

describe.each([
  ['Anthropic', 'claude', 'primary-anthropic'],
  ['the Responses API', 'responses', 'primary-responses'],
])('an answer of %s', (_vendor, alias, provider) => {
  it.each(['healthy', 'no-terminator'])('comes as a chat completion stream (%s)', async (model) => {
    const stream = askFor(`${alias} ${model}`);
    const { head } = await expectWhole(stream, text);
    expectOneAnswer(stream);
    expect(finishOf(stream)).toBe('stop');
    expect(chunksOf(stream)[0]).toMatchObject({ id: expect.stringMatching(/^chatcmpl-/), model });
    expect(head.headers['x-millrace-served-by']).toBe(`${provider}/${model}`);
  });

  it('is the same whatever bytes it comes in', async () => {
    const model = 'healthy:eol=crlf,nospace=1,comments=1,vendor=1,bytes=5,unicode=1';
    const stream = askFor(`${alias} ${model}`);
    await expectWhole(stream, expectedText({ tokens: 60, unicode: 1 }));
    expectOneAnswer(stream);
  });

  it('comes whole as a chat completion', async () => {
    const stream = askWhole(fleet.url, `${alias} healthy:reasoning=6`);
    await stream.ended;
    expect(JSON.parse(stream.text)).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-/),
      object: 'chat.completion',
      model: 'healthy:reasoning=6',
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: text,
            reasoning_content: expectedReasoning(6).join(''),
          },
          finish_reason: 'stop',
        },
      ],
      usage: { completion_tokens: 66 },
    });
  });

  it('has its thoughts as reasoning', async () => {
    const stream = askFor(`${alias} healthy:reasoning=6`);
    await expectWhole(stream, text);
    expect(reasoningOf(stream)).toBe(expectedReasoning(6).join(''));
    expectOneAnswer(stream, 66);
  });

  it('has its tool calls, streamed or whole', async () => {
    const stream = askFor(`${alias} tools:calls=2`, { tools });
    await expectWhole(stream, '');
    expect(callsOf(stream)).toEqual(expectedCalls('weather', 2));
    expect(finishOf(stream)).toBe('tool_calls');

    const whole = askWhole(fleet.url, `${alias} tools:calls=2`, { body: { tools } });
    await whole.ended;
    const { choices } = JSON.parse(whole.text) as {
      choices: { message: { tool_calls: { function: { name: string; arguments: string } }[] } }[];
    };
    const given = choices[0]?.message.tool_calls.map(({ function: named }) => named) ?? [];
    expect(namedCalls(given)).toEqual(expectedCalls('weather', 2));
    expect(choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { content: null } });
  });

  it('ends by its length where that was the bound', async () => {
    const stream = askFor(`${alias} length`);
    await expectWhole(stream, text);
    expect(finishOf(stream)).toBe('length');
  });
});

describe('what a wire format cannot express', () => {
  it('is asked of the next target, without a call to one that cannot express it', async () => {
    const user = freshUser();
    const stream = askWhole(fleet.url, 'claude or gpt', { body: { user, n: 2 } });
    await stream.ended;
    expect((JSON.parse(stream.text) as { choices: unknown[] }).choices).toHaveLength(2);
    expect(asked(fleet.primary, user)).toBe(0);
    expect(await outcomesOf(stream)).toEqual(['target_unsuited', 'target_unsuited', 'completed']);
  });

  it('is a 400 that names the member where there is no other target', async () => {
    const stream = askFor('claude healthy', { logprobs: true });
    const { head } = await readPlain(stream);
    expect(head.status).toBe(400);
    expect(JSON.parse(stream.text)).toMatchObject({
      error: {
        type: 'invalid_request_error',
        param: 'logprobs',
        code: 'unsupported_parameter',
      },
    });
  });
});

describe.each(vendors)('an answer that begins at %s and breaks', (vendor) => {
  const first = nameOf('primary', vendor);
  const second = nameOf('backup', other(vendor));

  it.each([
    ['anchor', {}, ['anchor']],
    ['prefill', {}, ['continue']],
    ['prefill refused', {}, ['continue', 'anchor']],
    ['replay', { temperature: 0 }, ['replay']],
    ['replay', {}, ['anchor', 'replay']],
    ['error event', {}, ['anchor']],
    ['clean end', {}, ['anchor']],
  ])('is whole by the other vendor: %s %j', async (story, body, modes) => {
    const stream = askFor(`${vendor} ${story}`, body);
    await expectWhole(stream, text);
    expectOneAnswer(stream);
    expect(finishOf(stream)).toBe('stop');
    expect(await modesOf(stream)).toEqual([
      `${first} start`,
      ...modes.map((mode) => `${second} ${mode}`),
    ]);
  });

  it('in its thoughts is replayed', async () => {
    const stream = askFor(`${vendor} cut thoughts`);
    await expectWhole(stream, text);
    expect(reasoningOf(stream)).toBe(expectedReasoning(6).join(''));
    expect(await modesOf(stream)).toEqual([`${first} start`, `${second} replay`]);
  });

  it('in a tool call has every call once', async () => {
    const stream = askFor(`${vendor} cut call`, { tools });
    await expectWhole(stream, '');
    expect(callsOf(stream)).toEqual(expectedCalls('weather', 2));
    expect(finishOf(stream)).toBe('tool_calls');
    // Nothing was shown, so the connection that broke is tried once more.
    expect(await modesOf(stream)).toEqual([`${first} start`, `${first} start`, `${second} start`]);
  });
});

describe.each(vendors)('an error of %s before its answer', (vendor) => {
  it('is tried again and then routed around where it is overloaded', async () => {
    const stream = askFor(`${vendor} overloaded`);
    const { head } = await expectWhole(stream, text);
    expectOneAnswer(stream);
    expect(head.headers['x-millrace-served-by']).toBe(`${nameOf('backup', other(vendor))}/healthy`);
    expect(await outcomesOf(stream)).toEqual([
      ...Array.from({ length: 3 }, () => 'upstream_overloaded'),
      'completed',
    ]);
  });

  it('is routed around at once where its context is too short', async () => {
    const stream = askFor(`${vendor} too long`);
    await expectWhole(stream, text);
    expect(await outcomesOf(stream)).toEqual(['context_length_exceeded', 'completed']);
  });

  it('is told to the client where it is a verdict on what was asked', async () => {
    const stream = askFor(`${vendor} filtered`);
    const { head } = await readPlain(stream);
    expect(head.status).toBe(400);
    expect(JSON.parse(stream.text)).toMatchObject({ error: { code: 'content_filter' } });
    expect(await outcomesOf(stream)).toEqual(['content_filtered']);
  });
});

it('Anthropic alone is asked again, and goes on where it broke off', async () => {
  const stream = askFor('claude again');
  await expectWhole(stream, text);
  expectOneAnswer(stream);
  expect(await modesOf(stream)).toEqual(['primary-anthropic start', 'primary-anthropic replay']);
});

it('white space that was shown is neither sent to Anthropic nor shown again', async () => {
  const stream = askFor('after a space');
  await expectWhole(stream, text);
  expectOneAnswer(stream);
  expect(await modesOf(stream)).toEqual(['raw start', 'backup-anthropic continue']);
});
