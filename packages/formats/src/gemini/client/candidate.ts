import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import type { AnswerFacts } from '../../client-port.ts';
import { parseDataUrl } from '../../data-url.ts';
import { parseExactly } from '../../exact-json.ts';
import { reasoningTextFields } from '../../openai-chat/chunk.ts';
import { addToolCalls, finishToolCalls } from '../../openai-chat/tool-calls.ts';
import type { ToolCallParts } from '../../openai-chat/tool-calls.ts';
import { googleContent, signatureOf } from '../signatures.ts';

/** What an answer needs to know of its request, as its `echo`. */
export type Echo = {
  /** The client asked for thoughts; Google's older libraries take them for a part of the answer. */
  thoughts?: true;
  /** Without `alt=sse` a stream is an array. */
  alt?: 'json';
};

export const echoOf = ({ echo }: Pick<AnswerFacts, 'echo'>): Echo =>
  isJsonObject(echo) ? echo : {};

/** The parts that a delta, or a whole message, adds at once; its calls are complete only at the end. */
export function partsOf(delta: JsonObject, { thoughts }: Echo): JsonObject[] {
  const parts: JsonObject[] = [];
  for (const field of thoughts ? reasoningTextFields : []) {
    const text = delta[field];
    if (typeof text === 'string' && text !== '') parts.push({ text, thought: true });
  }
  for (const text of [contentText(delta['content']), delta['refusal']]) {
    if (typeof text === 'string' && text !== '') parts.push({ text });
  }
  for (const image of itemsOf(delta['images'])) {
    const { url } =
      isJsonObject(image) && isJsonObject(image['image_url']) ? image['image_url'] : {};
    const data = typeof url === 'string' ? parseDataUrl(url) : undefined;
    if (data) parts.push({ inlineData: { mimeType: data.mediaType, data: data.base64 } });
  }
  return parts;
}

const contentText = (content: unknown): string =>
  typeof content === 'string'
    ? content
    : itemsOf(content)
        .map((part) => (isJsonObject(part) && typeof part['text'] === 'string' ? part['text'] : ''))
        .join('');

/** The tool calls of a choice while they arrive in pieces. */
export class CallGatherer {
  private readonly calls: ToolCallParts[] = [];

  add(delta: JsonObject): void {
    addToolCalls(this.calls, itemsOf(delta['tool_calls']));
  }

  parts(): JsonObject[] {
    return finishToolCalls(this.calls).map((call) => {
      const called = isJsonObject(call['function']) ? call['function'] : {};
      return {
        functionCall: { id: call['id'], name: called['name'], args: argsOf(called['arguments']) },
        ...signatureOf(call),
      };
    });
  }
}

/** Gemini's arguments are an object; text that is none is a member of one. */
function argsOf(text: unknown): unknown {
  if (typeof text !== 'string' || text.trim() === '') return {};
  try {
    const value = parseExactly(text);
    if (isJsonObject(value)) return value;
  } catch {
    // Below.
  }
  return { invalid_arguments: text };
}

/** What a message has of Google's own beside its text: the signature as a part, and sources as members of the candidate. */
export function googleOf(delta: JsonObject): { parts: JsonObject[]; members: JsonObject } {
  const google = googleContent(delta);
  const signature = signatureOf(delta);
  return {
    parts: signature.thoughtSignature === undefined ? [] : [{ text: '', ...signature }],
    members: {
      ...(isJsonObject(google['grounding_metadata']) && {
        groundingMetadata: google['grounding_metadata'],
      }),
      ...(isJsonObject(google['citation_metadata']) && {
        citationMetadata: google['citation_metadata'],
      }),
      ...(isJsonObject(google['url_context_metadata']) && {
        urlContextMetadata: google['url_context_metadata'],
      }),
    },
  };
}

/** Gemini's `logprobsResult` for a choice's `logprobs`. */
export function logprobsResultOf(logprobs: unknown): JsonObject {
  const content = isJsonObject(logprobs) ? itemsOf(logprobs['content']) : [];
  if (content.length === 0) return {};
  return {
    logprobsResult: {
      chosenCandidates: content.map(candidateOf),
      topCandidates: content.map((one) => ({
        candidates: (isJsonObject(one) ? itemsOf(one['top_logprobs']) : []).map(candidateOf),
      })),
    },
  };
}

function candidateOf(value: unknown): JsonObject {
  const { token, logprob } = isJsonObject(value) ? value : {};
  return { token, logProbability: logprob };
}
