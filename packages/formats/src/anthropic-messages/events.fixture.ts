/** Events as Anthropic sends them, to put streams together for tests. */
export type WireEvent = { type: string } & Record<string, unknown>;

export type WireBlock =
  | { type: 'text'; text: string }
  | { type: 'thinking'; thinking: string; signature: string }
  | { type: 'redacted_thinking'; data: string }
  | { type: 'tool_use'; id: string; name: string; input: unknown };

export const messageStart = (fields: Record<string, unknown> = {}): WireEvent => ({
  type: 'message_start',
  message: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-test-1',
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: {
      input_tokens: 10,
      cache_creation_input_tokens: 3,
      cache_read_input_tokens: 20,
      cache_creation: { ephemeral_5m_input_tokens: 3, ephemeral_1h_input_tokens: 0 },
      output_tokens: 1,
      service_tier: 'standard',
    },
    ...fields,
  },
});

export const blockStart = (index: number, block: Record<string, unknown>): WireEvent => ({
  type: 'content_block_start',
  index,
  content_block: block,
});

export const blockDelta = (index: number, delta: Record<string, unknown>): WireEvent => ({
  type: 'content_block_delta',
  index,
  delta,
});

export const blockStop = (index: number): WireEvent => ({ type: 'content_block_stop', index });

export const messageDelta = (
  stopReason: string | null,
  fields: Record<string, unknown> = {},
): WireEvent => ({
  type: 'message_delta',
  delta: { stop_reason: stopReason, stop_sequence: null, ...fields },
  usage: { input_tokens: 10, cache_creation_input_tokens: null, output_tokens: 7 },
});

/** The events with another usage in the place of each that they have. */
export const withUsages = (events: readonly WireEvent[], start: object, end?: object) =>
  events.map((event): WireEvent => {
    if (event.type === 'message_start') {
      return { ...event, message: { ...(event['message'] as object), usage: start } };
    }
    return event.type === 'message_delta' ? { ...event, usage: end } : event;
  });

export const messageStop: WireEvent = { type: 'message_stop' };
export const ping: WireEvent = { type: 'ping' };

export const text = (index: number, ...pieces: string[]): WireEvent[] => [
  blockStart(index, { type: 'text', text: '' }),
  ...pieces.map((piece) => blockDelta(index, { type: 'text_delta', text: piece })),
  blockStop(index),
];

/** The events of a whole block, its texts in pieces of `size` characters. */
export function eventsOf(block: WireBlock, index: number, size = 5): WireEvent[] {
  switch (block.type) {
    case 'text':
      return text(index, ...cut(block.text, size));
    case 'redacted_thinking':
      return [blockStart(index, block), blockStop(index)];
    case 'thinking':
      return [
        blockStart(index, { type: 'thinking', thinking: '', signature: '' }),
        ...cut(block.thinking, size).map((thinking) =>
          blockDelta(index, { type: 'thinking_delta', thinking }),
        ),
        blockDelta(index, { type: 'signature_delta', signature: block.signature }),
        blockStop(index),
      ];
    case 'tool_use': {
      const { id, name, input } = block;
      const json = Object.keys(Object(input)).length > 0 ? JSON.stringify(input) : '';
      return [
        blockStart(index, { type: 'tool_use', id, name, input: {} }),
        ...['', ...cut(json, size)].map((piece) =>
          blockDelta(index, { type: 'input_json_delta', partial_json: piece }),
        ),
        blockStop(index),
      ];
    }
  }
}

export const cut = (value: string, size: number): string[] =>
  Array.from({ length: Math.ceil(value.length / size) }, (_, n) =>
    value.slice(n * size, (n + 1) * size),
  );

/** With the blanks that Anthropic puts behind its JSON, so that lengths tell nothing. */
export const wire = (events: readonly WireEvent[]): string =>
  events
    .map(
      (event, n) => `event: ${event.type}\ndata: ${JSON.stringify(event)}${' '.repeat(n % 7)}\n\n`,
    )
    .join('');
