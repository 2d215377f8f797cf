import type { AnswerEvent, Call, FinishReason, Identity, Usage } from '../steps.ts';
import { VENDOR_FIELD } from '../vendor.ts';

/** Content events; each belongs to an output item. */
export type ContentEvent = Exclude<AnswerEvent, { type: 'start' | 'finish' | 'usage' | 'done' }>;

/** The name of the output item; consecutive events with the same name are in one item. */
export function itemOf(event: ContentEvent): string {
  switch (event.type) {
    case 'text':
    case 'refusal':
      return event.type;
    case 'reasoning':
      return 'reasoning';
    default:
      return `tool ${event.call}`;
  }
}

/** Ids of items are unique over requests, so they are made from the answer's own id. */
const itemId = (prefix: string, number: number, { id }: Identity): string =>
  `"${prefix}_${id.slice(1, -1)}_${number}"`;

/** An output item while it is sent. */
export interface Item {
  readonly first: ContentEvent;
  /** Its position in the output. */
  readonly index: number;
  /** JSON text of its id. */
  readonly id: string;
  text: string;
}

export function newItem(first: ContentEvent, index: number, identity: Identity): Item {
  const prefix = first.type === 'reasoning' ? 'rs' : first.type.startsWith('tool') ? 'fc' : 'msg';
  return { first, index, id: itemId(prefix, index, identity), text: '' };
}

/** The content part of a message. */
export function partJson({ first, text }: Item): string {
  return first.type === 'refusal'
    ? `{"type":"refusal","refusal":${JSON.stringify(text)}}`
    : `{"type":"output_text","annotations":[],"logprobs":[],"text":${JSON.stringify(text)}}`;
}

export const summaryJson = ({ text }: Item): string =>
  `{"type":"summary_text","text":${JSON.stringify(text)}}`;

/** Stands for a real provider's encryption of its reasoning. */
const ENCRYPTED = Buffer.from('simulated reasoning').toString('base64');

/** An item with its content, or as it begins. */
export function itemJson(item: Item, identity: Identity, isWhole: boolean): string {
  const { first, id, index } = item;
  const status = `"status":"${isWhole ? 'completed' : 'in_progress'}"`;
  if (first.type === 'reasoning') {
    const encrypted = isWhole ? `,"encrypted_content":"${ENCRYPTED}"` : '';
    return `{"id":${id},"type":"reasoning","summary":[${isWhole ? summaryJson(item) : ''}]${encrypted}}`;
  }
  if (first.type === 'text' || first.type === 'refusal') {
    const content = isWhole ? partJson(item) : '';
    return `{"id":${id},"type":"message",${status},"content":[${content}],"role":"assistant"}`;
  }
  const name = JSON.stringify(first.type === 'tool-call' ? first.name : '');
  const given = JSON.stringify(isWhole ? item.text || '{}' : '');
  const call = itemId('call', index, identity);
  return `{"id":${id},"type":"function_call",${status},"arguments":${given},"call_id":${call},"name":${name}}`;
}

export interface ResponseState {
  readonly status: 'in_progress' | 'completed' | 'incomplete' | 'failed';
  readonly reason?: string;
  /** JSON text. */
  readonly error?: string;
  readonly output?: readonly string[];
  readonly usage?: Usage | undefined;
  readonly extra?: object | undefined;
}

/** A `response`, complete or as it begins. */
export function responseJson(call: Call, { id, created }: Identity, state: ResponseState): string {
  const { asked, options } = call;
  const { status, reason, error = 'null', output = [], usage, extra } = state;
  const details = reason === undefined ? 'null' : `{"reason":"${reason}"}`;
  const counted =
    usage === undefined || options.usage === 'never'
      ? 'null'
      : usageJson(usage, asked.promptTokens);
  const echoed = extra === undefined ? '' : `,"x_echo_headers":${JSON.stringify(extra)}`;
  const vendor = options.vendor === 1 ? VENDOR_FIELD : '';
  return (
    `{"id":${id},"object":"response","created_at":${created},"status":"${status}","background":false,` +
    `"completed_at":${status === 'completed' ? created : 'null'},` +
    `"error":${error},"incomplete_details":${details},"instructions":null,"metadata":${metadataOf(call)},` +
    `"model":${JSON.stringify(asked.model)},"output":[${output.join(',')}],"parallel_tool_calls":true,` +
    `"temperature":1.0,"tool_choice":"auto","tools":[],"top_p":1.0,"store":false,"usage":${counted}${echoed}${vendor}}`
  );
}

function metadataOf({ rawBody }: Call): string {
  if (!rawBody.includes('"metadata"')) return '{}';
  const { metadata } = JSON.parse(rawBody) as { metadata?: unknown };
  return JSON.stringify(metadata ?? {});
}

function usageJson({ completion, reasoning }: Usage, input: number): string {
  return (
    `{"input_tokens":${input},"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},` +
    `"output_tokens":${completion},"output_tokens_details":{"reasoning_tokens":${reasoning}},"total_tokens":${input + completion}}`
  );
}

/** The status and the reason with which an answer ends. */
export function endOf(reason: FinishReason): Pick<ResponseState, 'status' | 'reason'> {
  if (reason === 'length') return { status: 'incomplete', reason: 'max_output_tokens' };
  if (reason === 'content_filter') return { status: 'incomplete', reason };
  return { status: 'completed' };
}
