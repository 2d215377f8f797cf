import { isJsonObject } from '@millrace/shared/domain/json';
import { newCallId } from '../openai-chat/identity.ts';
import type { Delta } from '../openai-chat/chunk-writer.ts';

type Json = Readonly<Record<string, unknown>>;

/** Converts the content blocks of one message to deltas in OpenAI's form. */
export type BlockReader = {
  /**
   * Each returns the delta of an event; undefined if the event adds nothing, `damaged` if it may add
   * something that cannot be read.
   */
  start(index: unknown, block: unknown): Delta | 'damaged' | undefined;
  delta(index: unknown, delta: unknown): Delta | 'damaged' | undefined;
  stop(index: unknown): Delta | undefined;
  /** The message has ended: returns what unfinished blocks still add, and the thoughts. */
  end(): Delta[];
};

type Open =
  | { type: 'text'; from: number; citations: Json[] }
  | { type: 'tool_use'; call: number; input: unknown; hasArguments: boolean }
  | { type: 'thinking'; thinking: string; signature: string }
  | { type: 'ignored' };

/**
 * Skips blocks that are neither text of the answer nor calls to the client: input and results of server
 * tools, summaries of a compaction, notes of a fallback to another model.
 */
export function createBlockReader(): BlockReader {
  const open = new Map<unknown, Open>();
  const thoughts: Record<string, unknown>[] = [];
  let calls = 0;
  /** Characters of the answer's content so far. */
  let length = 0;

  function text(piece: unknown): Delta | 'damaged' | undefined {
    if (typeof piece !== 'string') return unread(piece);
    if (piece === '') return undefined;
    length += piece.length;
    return { content: piece };
  }

  function think(
    block: Extract<Open, { type: 'thinking' }>,
    piece: unknown,
  ): Delta | 'damaged' | undefined {
    if (typeof piece !== 'string') return unread(piece);
    if (piece === '') return undefined;
    block.thinking += piece;
    return { reasoning_content: piece };
  }

  /** Opens a block whose start did not arrive, if its deltas contain everything about it. */
  function openFor(index: unknown, { type }: Json): Open | undefined {
    const block: Open | undefined =
      type === 'text_delta'
        ? { type: 'text', from: length, citations: [] }
        : type === 'thinking_delta'
          ? { type: 'thinking', thinking: '', signature: '' }
          : undefined;
    if (block) open.set(index, block);
    return block;
  }

  function startTool({ id, name, input }: Json, index: unknown): Delta | 'damaged' {
    if (typeof name !== 'string' || name === '') return 'damaged';
    const call = calls++;
    open.set(index, { type: 'tool_use', call, input, hasArguments: false });
    return {
      tool_calls: [
        {
          index: call,
          id: typeof id === 'string' && id !== '' ? id : newCallId(),
          type: 'function',
          function: { name, arguments: '' },
        },
      ],
    };
  }

  function stop(index: unknown): Delta | undefined {
    const block = open.get(index);
    open.delete(index);
    if (block?.type === 'thinking') {
      const { type, thinking, signature } = block;
      if (signature !== '') thoughts.push({ type, thinking, signature });
    } else if (block?.type === 'tool_use' && !block.hasArguments) {
      // A call without arguments has no JSON pieces; a complete one comes with its start.
      return argumentsDelta(block.call, JSON.stringify(block.input ?? {}));
    } else if (block?.type === 'text') {
      const annotations = block.citations.flatMap((citation) =>
        urlCitation(citation, block.from, length),
      );
      if (annotations.length > 0) return { annotations };
    }
    return undefined;
  }

  /**
   * The thoughts before tool calls, complete and signed: the next turn of a tool loop must send them back. An
   * answer without calls has none, because it needs none.
   */
  function signedThoughts(): Delta[] {
    if (calls === 0 || thoughts.length === 0) return [];
    // Numbered, so that a client that joins deltas keeps two consecutive thoughts apart.
    return [{ thinking_blocks: thoughts.map((thought, index) => ({ ...thought, index })) }];
  }

  return {
    start(index, block) {
      if (!isJsonObject(block)) return 'damaged';
      switch (block['type']) {
        case 'text':
          open.set(index, { type: 'text', from: length, citations: [] });
          return text(block['text']);
        case 'thinking': {
          const started: Open = { type: 'thinking', thinking: '', signature: '' };
          open.set(index, started);
          if (typeof block['signature'] === 'string') started.signature = block['signature'];
          return think(started, block['thinking']);
        }
        case 'redacted_thinking':
          thoughts.push({ type: 'redacted_thinking', data: block['data'] });
          return undefined;
        case 'tool_use':
          return startTool(block, index);
        default:
          open.set(index, { type: 'ignored' });
          return undefined;
      }
    },

    delta(index, delta) {
      if (!isJsonObject(delta)) return 'damaged';
      const block = open.get(index) ?? openFor(index, delta);
      const { type, text: piece, thinking, signature, partial_json: json, citation } = delta;
      switch (block?.type) {
        case 'text':
          if (type === 'text_delta') return text(piece);
          if (type === 'citations_delta' && isJsonObject(citation)) block.citations.push(citation);
          return undefined;
        case 'thinking':
          if (type === 'thinking_delta') return think(block, thinking);
          if (type === 'signature_delta' && typeof signature === 'string') {
            block.signature += signature;
          }
          return undefined;
        case 'tool_use':
          if (type !== 'input_json_delta' || json === '') return undefined;
          if (typeof json !== 'string') return unread(json);
          block.hasArguments = true;
          return argumentsDelta(block.call, json);
        case 'ignored':
          return undefined;
        default:
          // The block never began, so it is unknown which call these arguments belong to.
          return type === 'input_json_delta' ? 'damaged' : undefined;
      }
    },

    stop,

    end() {
      const rest = [...open.keys()].map(stop).filter((delta) => delta !== undefined);
      return [...rest, ...signedThoughts()];
    },
  };
}

/** A piece that is no text; null and absence are not damage. */
const unread = (piece: unknown): 'damaged' | undefined =>
  piece === undefined || piece === null ? undefined : 'damaged';

const argumentsDelta = (index: number, text: string): Delta => ({
  tool_calls: [{ index, function: { arguments: text } }],
});

/** OpenAI only has citations of web pages; others occur only for documents for which the request asks for them. */
function urlCitation({ url, title }: Json, from: number, to: number): Record<string, unknown>[] {
  if (typeof url !== 'string') return [];
  const citation = {
    start_index: from,
    end_index: to,
    title: typeof title === 'string' ? title : '',
    url,
  };
  return [{ type: 'url_citation', url_citation: citation }];
}
