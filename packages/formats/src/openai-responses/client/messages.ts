import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { InvalidRequest } from '../../client-port.ts';
import { joinedName } from '../namespace.ts';
import { reasoningDetail } from '../reasoning.ts';
import type { Inexpressible } from '../../inexpressible.ts';

type Assistant = {
  role: 'assistant';
  content: string | null;
  refusal?: string;
  reasoning_details?: JsonObject[];
  tool_calls?: JsonObject[];
};

/** Records of tools that the provider ran itself: their results are in the text that followed. */
const dropped: ReadonlySet<unknown> = new Set([
  'web_search_call',
  'file_search_call',
  'code_interpreter_call',
  'image_generation_call',
  'mcp_list_tools',
  'mcp_call',
]);

const roles: ReadonlySet<unknown> = new Set(['user', 'system', 'developer']);

/** The instructions and the input as messages of the inner form. */
export function innerMessages(
  instructions: unknown,
  input: unknown,
  lost: Inexpressible,
): JsonObject[] {
  const reader = new InputReader(lost);
  if (typeof instructions === 'string' && instructions !== '') {
    reader.add({ role: 'system', content: instructions });
  }
  if (typeof input === 'string') reader.add({ role: 'user', content: input });
  else for (const [index, item] of itemsOf(input).entries()) reader.take(item, `input[${index}]`);
  return reader.end();
}

/**
 * Joins the items of one turn of the assistant to one message: reasoning, texts, calls. The results of its calls follow it
 * directly, and what they have beside text follows them.
 */
class InputReader {
  private readonly lost: Inexpressible;
  private readonly messages: JsonObject[] = [];
  private turn: Assistant | undefined;
  /** Parts of tools' results that are no text: a user message behind the results has them. */
  private beside: JsonObject[] = [];

  constructor(lost: Inexpressible) {
    this.lost = lost;
  }

  add(message: JsonObject): void {
    this.closeTurn();
    this.closeResults();
    this.messages.push(message);
  }

  end(): JsonObject[] {
    this.closeTurn();
    this.closeResults();
    return this.messages;
  }

  take(item: unknown, param: string): void {
    if (!isJsonObject(item)) throw new InvalidRequest(param, `'${param}' must be an object.`);
    const { type = 'message' } = item;
    switch (type) {
      case 'message':
        this.takeMessage(item, param);
        return;
      case 'reasoning':
        this.takeReasoning(item);
        return;
      case 'function_call':
      case 'custom_tool_call':
        this.takeCall(item, param);
        return;
      case 'function_call_output':
      case 'custom_tool_call_output':
        this.takeOutput(item, param);
        return;
      default:
        if (!dropped.has(type)) this.lost.add(param, `items of the type ${JSON.stringify(type)}`);
    }
  }

  private takeMessage({ role, content }: JsonObject, param: string): void {
    const parts = contentParts(content, `${param}.content`, this.lost);
    if (role === 'assistant') {
      const turn = this.openTurn();
      for (const { type, text } of parts) {
        if (type === 'refusal') turn.refusal = (turn.refusal ?? '') + String(text);
        else if (type === 'text') turn.content = (turn.content ?? '') + String(text);
      }
      return;
    }
    if (!roles.has(role)) {
      const place = `${param}.role`;
      throw new InvalidRequest(
        place,
        `'${place}' must be 'user', 'assistant', 'system' or 'developer'.`,
      );
    }
    const only = parts[0];
    const isText = parts.length === 1 && only?.['type'] === 'text';
    this.add({ role, content: isText ? only['text'] : parts });
  }

  /** Only the API that encrypted it can read it. */
  private takeReasoning({ encrypted_content: data, id }: JsonObject): void {
    if (typeof data !== 'string' || data === '') return;
    const details = (this.openTurn().reasoning_details ??= []);
    details.push(reasoningDetail(data, id, details.length));
  }

  private takeCall(item: JsonObject, param: string): void {
    const { type, call_id: id, name: own, namespace, arguments: json, input } = item;
    if (typeof id !== 'string' || typeof own !== 'string') {
      throw new InvalidRequest(param, `'${param}' must have a 'call_id' and a 'name'.`);
    }
    const name = joinedName(own, namespace);
    const calls = (this.openTurn().tool_calls ??= []);
    calls.push(
      type === 'function_call'
        ? { id, type: 'function', function: { name, arguments: json ?? '{}' } }
        : { id, type: 'custom', custom: { name, input: input ?? '' } },
    );
  }

  private takeOutput({ call_id: id, output }: JsonObject, param: string): void {
    if (typeof id !== 'string') {
      throw new InvalidRequest(`${param}.call_id`, `'${param}.call_id' must be a text.`);
    }
    this.closeTurn();
    const parts = contentParts(output, `${param}.output`, this.lost);
    const texts = parts.filter(({ type }) => type === 'text').map(({ text }) => text);
    this.messages.push({ role: 'tool', tool_call_id: id, content: texts.join('\n\n') });
    this.beside.push(...parts.filter(({ type }) => type !== 'text'));
  }

  private openTurn(): Assistant {
    if (!this.turn) {
      this.closeResults();
      this.turn = { role: 'assistant', content: null };
    }
    return this.turn;
  }

  private closeTurn(): void {
    const { turn } = this;
    this.turn = undefined;
    if (!turn) return;
    const says = turn.content !== null || turn.refusal !== undefined || turn.tool_calls;
    if (says) this.messages.push(turn);
  }

  private closeResults(): void {
    if (this.beside.length > 0) this.messages.push({ role: 'user', content: this.beside });
    this.beside = [];
  }
}

function contentParts(content: unknown, param: string, lost: Inexpressible): JsonObject[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  if (!Array.isArray(content)) {
    throw new InvalidRequest(param, `'${param}' must be a text or an array of parts.`);
  }
  return (content as unknown[]).flatMap((part, index) => {
    const place = `${param}[${index}]`;
    if (!isJsonObject(part)) throw new InvalidRequest(place, `'${place}' must be an object.`);
    const translated = contentPart(part);
    if (!translated)
      lost.add(place, `parts of the type ${JSON.stringify(part['type'])} in this form`);
    return translated ? [translated] : [];
  });
}

function contentPart(part: JsonObject): JsonObject | undefined {
  const { type, text, refusal, image_url: url, detail } = part;
  switch (type) {
    case 'input_text':
    case 'output_text':
    case 'text':
    case 'summary_text':
      return { type: 'text', text };
    case 'refusal':
      return { type, text: refusal };
    case 'input_image':
      if (typeof url !== 'string') return undefined;
      return { type: 'image_url', image_url: { url, ...(detail !== undefined && { detail }) } };
    case 'input_file': {
      const { file_id: id, file_data: data, file_url: link, filename } = part;
      const file = {
        ...(id !== undefined && { file_id: id }),
        ...((data ?? link) !== undefined && { file_data: data ?? link }),
        ...(filename !== undefined && { filename }),
      };
      return { type: 'file', file };
    }
    default:
      return undefined;
  }
}
