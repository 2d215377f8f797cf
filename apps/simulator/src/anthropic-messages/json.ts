import type { AnswerEvent, Call, FinishReason, Identity } from '../steps.ts';
import { VENDOR_FIELD } from '../vendor.ts';

/** Content events; each belongs to a content block. */
export type ContentEvent = Exclude<AnswerEvent, { type: 'start' | 'finish' | 'usage' | 'done' }>;

/** The name of the content block; consecutive events with the same name are in one block. */
export function blockOf(event: ContentEvent): string {
  switch (event.type) {
    case 'text':
    case 'refusal':
      return 'text';
    case 'reasoning':
      return 'thinking';
    default:
      return `tool ${event.call}`;
  }
}

/** The stop reason. This format has no field for a refusal's text, so it is a text with this reason. */
export function stopReason(reason: FinishReason, refused: boolean): string {
  if (refused) return 'refusal';
  switch (reason) {
    case 'length':
      return 'max_tokens';
    case 'tool_calls':
      return 'tool_use';
    case 'content_filter':
      return 'refusal';
    default:
      return 'end_turn';
  }
}

/** The three `stop_…` fields; null while the answer continues. */
export function stopFields(reason: string | null): string {
  const details =
    reason === 'refusal' ? '{"type":"refusal","category":null,"explanation":null}' : 'null';
  return `"stop_reason":${JSON.stringify(reason)},"stop_sequence":null,"stop_details":${details}`;
}

export function usageFields(input: number, output: number): string {
  return `"input_tokens":${input},"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":${output}`;
}

/** A `message`, complete or as it begins. */
export function messageJson(
  call: Call,
  { id }: Identity,
  {
    content,
    stop,
    output,
    extra,
  }: { content: string; stop: string | null; output: number; extra: object | undefined },
): string {
  const { asked, options } = call;
  const echoed = extra === undefined ? '' : `,"x_echo_headers":${JSON.stringify(extra)}`;
  const vendor = options.vendor === 1 ? VENDOR_FIELD : '';
  return (
    `{"model":${JSON.stringify(asked.model)},"id":${id},"type":"message","role":"assistant",` +
    `"content":[${content}],${stopFields(stop)},` +
    `"usage":{${usageFields(asked.promptTokens, output)},"service_tier":"standard"}${echoed}${vendor}}`
  );
}

/** The id of a tool call: unique over requests, so it is made from the answer's own id. */
export function toolUseId(call: number, { id }: Identity): string {
  return `"toolu_${id.slice(1, -1)}_${call}"`;
}

/** Stands for a real provider's signature of its thinking. */
export const SIGNATURE = Buffer.from('simulated signature').toString('base64');
