import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';

/** The text of a part so far, escaped as in JSON, without quotes. */
export type Part = {
  type: 'output_text' | 'refusal';
  json: string;
  annotations: JsonObject[];
  logprobs: unknown[];
  /** The provider has ended its text, or the whole part. */
  ended?: 'text' | 'part';
};

/** The name of the tool, and its namespace if it has one. */
export type Called = { name: unknown; namespace?: string };

/** An output item while it is sent. */
export type Item = {
  /** Its position in the output. */
  index: number;
  id: string;
  isDone: boolean;
  /** Its text has ended, as another item follows it. */
  isSaid: boolean;
  /** As the provider began it, and as it ended it. */
  native?: JsonObject | undefined;
  final?: JsonObject | undefined;
} & (
  | { kind: 'message'; parts: Part[] }
  /** `encrypted` is empty if it has not come. */
  | { kind: 'reasoning'; json: string; encrypted: string }
  /** A tool that the provider runs, or of a type that is not known here. */
  | { kind: 'other' }
  | { kind: 'function_call' | 'custom_tool_call'; callId: unknown; called: Called; json: string }
);

export const escaped = (text: string): string => JSON.stringify(text).slice(1, -1);
export const unescaped = (json: string): string => JSON.parse(`"${json}"`) as string;

/** A part with its text, or as it begins. */
export const partOf = ({ type, json, annotations, logprobs }: Part, isWhole: boolean): JsonObject =>
  type === 'refusal'
    ? { type, refusal: isWhole ? unescaped(json) : '' }
    : {
        type,
        annotations: isWhole ? annotations : [],
        logprobs: isWhole ? logprobs : [],
        text: isWhole ? unescaped(json) : '',
      };

/** An item with its content, or as it begins. */
export function itemOf(item: Item, isWhole: boolean): JsonObject {
  const { kind, id, native, final } = item;
  if (final) return final;
  const status = isWhole ? 'completed' : 'in_progress';
  switch (kind) {
    case 'message': {
      const content = isWhole ? item.parts.map((part) => partOf(part, true)) : [];
      return { id, type: kind, status, role: 'assistant', content };
    }
    case 'reasoning': {
      const { json, encrypted } = item;
      const summary = isWhole && json !== '' ? [summaryOf(json)] : [];
      const own = isWhole && encrypted !== '' && { encrypted_content: encrypted };
      return { id, type: kind, summary, ...own };
    }
    case 'other':
      // Only the provider could end it.
      return { ...native, status: 'incomplete' };
    default: {
      const { callId, called, json } = item;
      const given = isWhole ? unescaped(json) : '';
      const text = kind === 'function_call' ? { arguments: given } : { input: given };
      return { id, type: kind, status, call_id: callId, ...called, ...text };
    }
  }
}

export const summaryOf = (json: string): JsonObject => ({
  type: 'summary_text',
  text: unescaped(json),
});

/** Citations are one level deeper in the inner form. */
export const annotationsIn = (annotations: unknown): JsonObject[] =>
  itemsOf(annotations).flatMap((annotation) => {
    if (!isJsonObject(annotation)) return [];
    const { url_citation: citation, ...rest } = annotation;
    return [isJsonObject(citation) ? { ...rest, ...citation } : annotation];
  });
