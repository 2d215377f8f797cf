/** Events as OpenAI sends them, to put streams together for tests. */
export type WireEvent = { type: string } & Record<string, unknown>;

export const usage = {
  input_tokens: 9,
  input_tokens_details: { cached_tokens: 5 },
  output_tokens: 4,
  output_tokens_details: { reasoning_tokens: 1 },
  total_tokens: 13,
};

export const response = (fields: Record<string, unknown> = {}): Record<string, unknown> => ({
  id: 'resp_1',
  object: 'response',
  created_at: 1_700_000_000,
  status: 'in_progress',
  error: null,
  incomplete_details: null,
  model: 'gpt-test-1',
  output: [],
  usage: null,
  ...fields,
});

export const created: WireEvent = { type: 'response.created', response: response() };
export const inProgress: WireEvent = { type: 'response.in_progress', response: response() };
export const keepAlive: WireEvent = { type: 'keepalive' };

export const completed = (...output: Record<string, unknown>[]): WireEvent => ({
  type: 'response.completed',
  response: response({ status: 'completed', output, usage }),
});

export const incomplete = (reason: string): WireEvent => ({
  type: 'response.incomplete',
  response: response({ status: 'incomplete', incomplete_details: { reason }, usage }),
});

export const failed = (error: Record<string, unknown> | null): WireEvent => ({
  type: 'response.failed',
  response: response({ status: 'failed', error }),
});

export const added = (index: number, item: Record<string, unknown>): WireEvent => ({
  type: 'response.output_item.added',
  output_index: index,
  item,
});

export const done = (index: number, item: Record<string, unknown>): WireEvent => ({
  type: 'response.output_item.done',
  output_index: index,
  item,
});

const outputText = (text: string) => ({ type: 'output_text', annotations: [], logprobs: [], text });

export const message = (text: string, index = 0): Record<string, unknown> => ({
  id: `msg_${index}`,
  type: 'message',
  status: 'completed',
  role: 'assistant',
  content: [outputText(text)],
});

/** The events of a message in pieces, and of its content part as a whole. */
export function text(index: number, ...pieces: string[]): WireEvent[] {
  const place = { item_id: `msg_${index}`, output_index: index, content_index: 0 };
  const whole = pieces.join('');
  return [
    added(index, { ...message('', index), content: [], status: 'in_progress' }),
    { type: 'response.content_part.added', ...place, part: outputText('') },
    ...pieces.map((delta) => ({
      type: 'response.output_text.delta',
      ...place,
      delta,
      logprobs: [],
      obfuscation: 'x',
    })),
    { type: 'response.output_text.done', ...place, text: whole, logprobs: [] },
    { type: 'response.content_part.done', ...place, part: outputText(whole) },
    done(index, message(whole, index)),
  ];
}

export const functionCall = (index: number, name: string, args: string) => ({
  id: `fc_${index}`,
  type: 'function_call',
  status: 'completed',
  arguments: args,
  call_id: `call_${index}`,
  name,
});

export function call(index: number, name: string, ...pieces: string[]): WireEvent[] {
  const place = { item_id: `fc_${index}`, output_index: index };
  const item = functionCall(index, name, pieces.join(''));
  return [
    added(index, { ...item, arguments: '', status: 'in_progress' }),
    ...pieces.map((delta) => ({
      type: 'response.function_call_arguments.delta',
      ...place,
      delta,
    })),
    { type: 'response.function_call_arguments.done', ...place, arguments: pieces.join('') },
    done(index, item),
  ];
}

export const reasoning = (index: number, summaries: string[], encrypted?: string) => ({
  id: `rs_${index}`,
  type: 'reasoning',
  summary: summaries.map((one) => ({ type: 'summary_text', text: one })),
  ...(encrypted !== undefined && { encrypted_content: encrypted }),
});

/** Each summary in pieces of 4 characters. */
export function thoughts(index: number, summaries: string[], encrypted?: string): WireEvent[] {
  const item = reasoning(index, summaries, encrypted);
  return [
    added(index, {
      ...item,
      summary: [],
      ...(encrypted !== undefined && { encrypted_content: '' }),
    }),
    ...summaries.flatMap((summary, n): WireEvent[] => {
      const place = { item_id: `rs_${index}`, output_index: index, summary_index: n };
      return [
        {
          type: 'response.reasoning_summary_part.added',
          ...place,
          part: { type: 'summary_text', text: '' },
        },
        ...(summary.match(/.{1,4}/gs) ?? []).map((delta) => ({
          type: 'response.reasoning_summary_text.delta',
          ...place,
          delta,
        })),
        { type: 'response.reasoning_summary_text.done', ...place, text: summary },
        {
          type: 'response.reasoning_summary_part.done',
          ...place,
          part: { type: 'summary_text', text: summary },
        },
      ];
    }),
    done(index, item),
  ];
}

/** The events with their numbers. */
export const numbered = (events: readonly WireEvent[]): WireEvent[] =>
  events.map((event, n) => ({ ...event, sequence_number: n }));

export const inStream = (event: WireEvent): string =>
  `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;

export const wire = (events: readonly WireEvent[]): string => events.map(inStream).join('');
