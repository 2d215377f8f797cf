import { describe, expect, it } from 'vitest';
import { openAiResponsesClient } from './client/format.ts';
import {
  added,
  call,
  completed,
  created,
  done,
  functionCall,
  inProgress,
  message,
  reasoning,
  text,
  thoughts,
  wire,
} from './events.fixture.ts';
import type { WireEvent } from './events.fixture.ts';
import { readStream } from './stream.ts';

// A client of the Responses API gets the events of a provider with the same API, also those of items that only this provider has.

const search = (index: number, status = 'completed') => ({
  id: `ws_${index}`,
  type: 'web_search_call',
  status,
  action: { type: 'search', query: 'weather' },
});
const searching = (index: number): WireEvent[] => [
  added(index, search(index, 'in_progress')),
  { type: 'response.web_search_call.searching', item_id: `ws_${index}`, output_index: index },
  done(index, search(index)),
];
const words = 'A text that is long enough for a reference.';
const answer: WireEvent[] = [
  { ...created, vendor: 1 },
  inProgress,
  ...thoughts(
    0,
    ['A first thought, which is long enough for a reference.', 'A second one.'],
    'e30=',
  ),
  ...searching(1),
  ...text(2, words.slice(0, 9), words.slice(9)),
  { type: 'vendor.progress', share: 0.5 },
  ...call(3, 'look', '{"at":', '"a place with a long enough name for a reference"}'),
  completed(
    reasoning(
      0,
      ['A first thought, which is long enough for a reference.', 'A second one.'],
      'e30=',
    ),
    search(1),
    message(words, 2),
    functionCall(3, 'look', '{"at":"a place with a long enough name for a reference"}'),
  ),
];

const facts = { id: 'req_0_x', model: 'asked', createdAt: 0, echo: {} };
type Event = Record<string, unknown>;

const outputOf = (out: readonly Event[]) =>
  (out.at(-1)?.['response'] as { output: Event[] } | undefined)?.output ?? [];

/** What a client gets, and the characters of the log. */
function pass(events: readonly WireEvent[], isWhole = true) {
  const encoder = openAiResponsesClient.encodeStream(facts);
  const out: Event[] = [];
  let chars = 0;
  const take = (events_: readonly { name?: string | undefined; data: string }[]) => {
    for (const { name, data } of events_) {
      const event = JSON.parse(data) as Event;
      expect(name).toBe(event['type']);
      out.push(event);
    }
  };
  const line = (chunk: string) => {
    chars += chunk.length;
    take(encoder.chunk(chunk));
  };
  const native = { body: '{}', turns: [] };
  const reader = readStream(
    { body: '{"messages":[]}', model: 'asked', identity: undefined, native },
    { plain: line, chunk: line, usage: () => {} },
  );
  reader.push(Buffer.from(wire(events)));
  if (isWhole) take(encoder.end(1000));
  return { out, take, encoder, chars };
}

/** Members of a response that are this server's own. */
const ownMembers = new Set(['id', 'background', 'store', 'instructions', 'tools']);
const withoutOwn = (response: Event) =>
  Object.fromEntries(Object.entries(response).filter(([name]) => !ownMembers.has(name)));

/** Without what is this server's own. */
function plain(event: Event): Event {
  const { sequence_number: _, obfuscation: __, ...rest } = event;
  const { response } = rest as { response?: Event };
  if (!response) return rest;
  return { ...rest, response: withoutOwn(response) };
}

describe('the events of a provider', () => {
  it('arrive as they are, with numbers and an id of this server', () => {
    const { out } = pass(answer);
    expect(out.map(plain)).toEqual(answer.map(plain));
    expect(out.map(({ sequence_number: number }) => number)).toEqual(out.map((_, index) => index));
    const ids = out.flatMap(({ response }) => (response ? [(response as Event)['id']] : []));
    expect(new Set(ids)).toEqual(new Set(['resp_0_x']));
  });

  it('leave a text in the log once, however often the provider repeats it', () => {
    const long = 'x'.repeat(100_000);
    const { chars, out } = pass([created, ...text(0, long), completed(message(long))]);
    expect(chars).toBeLessThan(110_000);
    expect(JSON.stringify(out.at(-1))).toContain(long);
  });

  it('say a text once, also if the last event leaves an item out', () => {
    const events = [
      created,
      ...thoughts(0, ['A thought.']),
      ...text(1, words),
      completed(message(words, 1)),
    ];
    const { out } = pass(events);
    expect(out.map(plain)).toEqual(events.map(plain));
  });

  it('keep another item of the last event, which some providers encrypt anew', () => {
    const events = [created, ...text(0, words), completed({ ...message(words), id: 'msg_other' })];
    expect(pass(events).out.map(plain)).toEqual(events.map(plain));
  });
});

describe('the events of a server that leaves positions out', () => {
  const item = (content: object[], status: string) => ({
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    status,
    content,
  });
  const part = { type: 'output_text', annotations: [], logprobs: [], text: words };
  const inText = { item_id: 'msg_1' };
  const called = { ...functionCall(1, 'look', `{"at":"${words}"}`), status: 'completed' };
  const events: WireEvent[] = [
    created,
    { type: 'response.output_item.added', item: item([], 'in_progress') },
    { type: 'response.content_part.added', ...inText, part: { ...part, text: '' } },
    { type: 'response.output_text.delta', ...inText, delta: words.slice(0, 9) },
    { type: 'response.output_text.delta', ...inText, delta: words.slice(9) },
    { type: 'response.output_text.done', ...inText, text: words },
    { type: 'response.content_part.done', ...inText, part },
    { type: 'response.output_item.done', item: item([part], 'completed') },
    {
      type: 'response.output_item.added',
      item: { ...called, arguments: '', status: 'in_progress' },
    },
    { type: 'response.function_call_arguments.delta', item_id: 'fc_1', delta: called.arguments },
    { type: 'response.function_call_arguments.done', item_id: 'fc_1', arguments: called.arguments },
    { type: 'response.output_item.done', item: called },
    completed(item([part], 'completed'), called),
  ];

  it('have whole texts, and end each item once', () => {
    const { out } = pass(events);
    expect(JSON.stringify(out)).not.toContain('x_millrace');
    expect(out.map(({ type }) => type)).toEqual(events.map(({ type }) => type));
    for (const [index, event] of events.entries()) expect(out[index]).toMatchObject(plain(event));
    const places = out.flatMap(({ type, output_index: at }) =>
      type === 'response.output_item.done' ? [at] : [],
    );
    expect(places).toEqual([0, 1]);
  });
});

describe('another attempt', () => {
  const upTo = answer.findIndex(({ type }) => type === 'vendor.progress');
  const chunk = (delta: object, finish: string | null = null) =>
    JSON.stringify({
      id: 'c',
      object: 'chat.completion.chunk',
      created: 1,
      model: 'other',
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    });

  it.each(Array.from({ length: upTo - 1 }, (_, index) => index + 1))(
    'goes on behind event %i: one start, one end, and no item or part is left open',
    (count) => {
      const { out, take, encoder } = pass(answer.slice(0, count), false);
      const said = out.filter(({ type }) => type === 'response.output_text.delta');
      const rest = words.slice(said.map(({ delta }) => delta).join('').length);
      take(encoder.chunk(chunk({ content: `${rest} And more.` })));
      take(encoder.chunk(chunk({}, 'stop')));
      take(encoder.end(1000));

      const types = out.map(({ type }) => type);
      expect(types.filter((type) => type === 'response.created')).toHaveLength(1);
      expect(types.at(-1)).toBe('response.completed');
      const parts = /_part\.(added|done)$/;
      const openOf = (kind: RegExp) => {
        const open = new Set<string>();
        for (const event of out) {
          const { type, output_index: item, content_index: part, summary_index: summary } = event;
          const [, state] = kind.exec(String(type)) ?? [];
          // No text comes behind its end.
          const isSaid = type === 'response.output_text.delta' && kind === parts;
          const key = JSON.stringify([item, part, summary]);
          if (state === 'added') open.add(key);
          const isWrong = (isSaid && !open.has(key)) || (state === 'done' && !open.delete(key));
          if (isWrong) open.add(`${String(type)} ${key}`);
        }
        return [...open];
      };
      expect(openOf(/^response\.output_item\.(added|done)$/)).toEqual([]);
      expect(openOf(parts)).toEqual([]);
      const output = outputOf(out);
      const ended = out.filter(({ type }) => type === 'response.output_item.done');
      expect(output).toEqual(ended.map(({ item }) => item));
      const texts = output
        .filter(({ type }) => type === 'message')
        .flatMap(({ content }) => content as { text: string }[]);
      expect(texts.map((one) => one.text).join('')).toBe(`${words} And more.`);
      const thought = out.filter(({ type }) => type === 'response.reasoning_summary_text.delta');
      const kept = output
        .filter(({ type }) => type === 'reasoning')
        .flatMap(({ summary }) => summary as { text: string }[]);
      const bySummary = Map.groupBy(thought, ({ summary_index: index }) => index);
      expect(kept.map((one) => one.text)).toEqual(
        [...bySummary.values()].map((some) => some.map(({ delta }) => delta).join('')),
      );
    },
  );

  it('ends the item of a tool that the provider ran as incomplete', () => {
    const { out, take, encoder } = pass([created, ...searching(0).slice(0, 2)], false);
    take(encoder.chunk(chunk({ content: words })));
    take(encoder.end(1000));
    const output = outputOf(out);
    expect(output).toMatchObject([{ ...search(0), status: 'incomplete' }, { type: 'message' }]);
  });

  it('gets an error with all items as they are, and no second start', () => {
    const { out, take, encoder } = pass(answer.slice(0, upTo), false);
    take(encoder.error({ message: 'broken', type: 'server_error', code: 'x', param: null }, 502));
    expect(out.at(-1)).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', output: [{ type: 'reasoning' }, search(1), message(words, 2)] },
    });
  });
});
