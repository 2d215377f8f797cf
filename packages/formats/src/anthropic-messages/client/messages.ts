import { isJsonObject, shownText } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { InvalidRequest } from '../../client-port.ts';
import type { Inexpressible } from '../../inexpressible.ts';

/** The system prompt and the turns as messages of the inner form. */
export function innerMessages(
  system: unknown,
  turns: readonly unknown[],
  lost: Inexpressible,
): JsonObject[] {
  const messages: JsonObject[] = [];
  const instructions = systemText(system);
  if (instructions !== '') messages.push({ role: 'system', content: instructions });
  for (const [index, turn] of turns.entries()) {
    const param = `messages.${index}`;
    if (!isJsonObject(turn)) throw new InvalidRequest(param, `${param}: Input should be an object`);
    const { role, content } = turn;
    const blocks = blocksOf(content, `${param}.content`);
    if (role === 'user') messages.push(...userMessages(blocks, param, lost));
    else if (role === 'assistant') messages.push(...assistantMessage(blocks, param, lost));
    else if (role === 'system') messages.push({ role, content: joinTexts(blocks) });
    else {
      throw new InvalidRequest(
        `${param}.role`,
        `${param}.role: Input should be 'user' or 'assistant'`,
      );
    }
  }
  return messages;
}

type Block = JsonObject & { type: string };

function systemText(system: unknown): string {
  if (system === undefined || system === null) return '';
  return joinTexts(blocksOf(system, 'system'));
}

const joinTexts = (blocks: readonly Block[]): string =>
  blocks
    .flatMap(({ text }) => (typeof text === 'string' && text !== '' ? [text] : []))
    .join('\n\n');

function blocksOf(content: unknown, param: string): Block[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  if (content === undefined) throw new InvalidRequest(param, `${param}: Field required`);
  if (!Array.isArray(content)) {
    throw new InvalidRequest(param, `${param}: Input should be a string or an array of blocks`);
  }
  return (content as unknown[]).map((block, index) => {
    const place = `${param}.${index}`;
    if (!isJsonObject(block))
      throw new InvalidRequest(place, `${place}: Input should be an object`);
    const { type } = block;
    if (typeof type !== 'string') {
      throw new InvalidRequest(`${place}.type`, `${place}.type: Field required`);
    }
    if (type === 'text' && typeof block['text'] !== 'string') {
      throw new InvalidRequest(`${place}.text`, `${place}.text: Input should be a valid string`);
    }
    return { ...block, type };
  });
}

/** The results of tools are messages of their own, before the rest of the turn. Images in them follow with the rest. */
function userMessages(blocks: readonly Block[], param: string, lost: Inexpressible): JsonObject[] {
  const results: JsonObject[] = [];
  const parts: JsonObject[] = [];
  for (const [index, block] of blocks.entries()) {
    const place = `${param}.content.${index}`;
    if (block.type !== 'tool_result') {
      parts.push(...userPart(block, place, lost));
      continue;
    }
    const { tool_use_id: id, content } = block;
    if (typeof id !== 'string') {
      throw new InvalidRequest(`${place}.tool_use_id`, `${place}.tool_use_id: Field required`);
    }
    const inside =
      content === undefined || content === null ? [] : blocksOf(content, `${place}.content`);
    results.push({ role: 'tool', tool_call_id: id, content: joinTexts(inside) });
    for (const one of inside) if (one.type !== 'text') parts.push(...userPart(one, place, lost));
  }
  const only = parts[0];
  const isText = parts.length === 1 && only?.['type'] === 'text';
  const content = isText ? only['text'] : parts;
  return parts.length === 0 ? results : [...results, { role: 'user', content }];
}

function userPart(block: Block, param: string, lost: Inexpressible): JsonObject[] {
  switch (block.type) {
    case 'text':
      return [{ type: 'text', text: block['text'] }];
    case 'image': {
      const url = urlOf(block['source']);
      if (url !== undefined) return [{ type: 'image_url', image_url: { url } }];
      break;
    }
    case 'document': {
      const part = documentPart(block, param);
      if (part) return [part];
      break;
    }
    case 'search_result':
      return [{ type: 'text', text: joinTexts(blocksOf(block['content'] ?? [], param)) }];
    default:
  }
  lost.add(param, `blocks of the type ${JSON.stringify(block.type)} in this form`);
  return [];
}

/** The URL of a source, a data URL where it has the data itself; undefined for a file that Anthropic stores. */
function urlOf(source: unknown): string | undefined {
  if (!isJsonObject(source)) return undefined;
  const { type, url, media_type: mediaType, data } = source;
  if (type === 'url' && typeof url === 'string') return url;
  if (type !== 'base64' || typeof data !== 'string') return undefined;
  return `data:${shownText(mediaType)};base64,${data}`;
}

function documentPart({ source, title }: Block, param: string): JsonObject | undefined {
  if (!isJsonObject(source)) return undefined;
  const { type, data, content } = source;
  if (type === 'text' && typeof data === 'string') return { type: 'text', text: data };
  if (type === 'content') {
    return { type: 'text', text: joinTexts(blocksOf(content ?? [], `${param}.source.content`)) };
  }
  // OpenAI takes a file as data only.
  const url = type === 'base64' ? urlOf(source) : undefined;
  if (url === undefined) return undefined;
  const filename = typeof title === 'string' && title !== '' ? title : 'document.pdf';
  return { type: 'file', file: { filename, file_data: url } };
}

/** Thoughts are signed for Anthropic only, and blocks of its server tools mean nothing elsewhere: they are dropped. */
function assistantMessage(
  blocks: readonly Block[],
  param: string,
  lost: Inexpressible,
): JsonObject[] {
  const calls: JsonObject[] = [];
  let text = '';
  for (const [index, block] of blocks.entries()) {
    const place = `${param}.content.${index}`;
    if (block.type === 'text') text += typeof block['text'] === 'string' ? block['text'] : '';
    else if (block.type === 'tool_use') {
      const { id, name, input } = block;
      if (typeof id !== 'string' || typeof name !== 'string') {
        throw new InvalidRequest(place, `${place}: 'id' and 'name' are required`);
      }
      const called = { name, arguments: JSON.stringify(input ?? {}) };
      calls.push({ id, type: 'function', function: called });
    } else if (!dropped.has(block.type) && !block.type.endsWith('_tool_result')) {
      lost.add(place, `blocks of the type ${JSON.stringify(block.type)}`);
    }
  }
  if (text === '' && calls.length === 0) return [];
  return [
    {
      role: 'assistant',
      content: text === '' ? null : text,
      ...(calls.length > 0 && { tool_calls: calls }),
    },
  ];
}

const dropped: ReadonlySet<string> = new Set([
  'thinking',
  'redacted_thinking',
  'server_tool_use',
  'compaction',
]);
