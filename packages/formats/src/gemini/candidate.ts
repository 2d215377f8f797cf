import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { newCallId } from '../openai-chat/identity.ts';
import type { Delta, ExtraContent } from '../openai-chat/chunk-writer.ts';
import { finishReasonOf, isUsualEnd } from './finish.ts';

/** The end of a candidate, in OpenAI's form. */
export type End = { delta: Delta; finishReason: string; nativeFinishReason?: string };

/** Converts the parts of one candidate to deltas in OpenAI's form. */
export type CandidateReader = {
  /**
   * The deltas of one event. `exact`: the same candidate, with numbers that a double cannot hold. `damaged`: it may add
   * something that cannot be read.
   */
  read(candidate: JsonObject, exact: unknown): Delta[] | 'damaged';
  /** The end, if the candidate has its finishReason. */
  end(candidate: JsonObject): End | undefined;
};

/** What Google adds to an answer, by its name in `extra_content.google`. */
const extras = {
  groundingMetadata: 'grounding_metadata',
  citationMetadata: 'citation_metadata',
  urlContextMetadata: 'url_context_metadata',
} as const;

/**
 * Skips parts that are neither text of the answer, nor images, nor calls to the client: code that Google runs and its
 * results, and other media.
 */
export function createCandidateReader(): CandidateReader {
  const google: Record<string, unknown> = {};
  let calls = 0;

  function callDelta(call: JsonObject, signature: unknown, exact: unknown): Delta | 'damaged' {
    const { name, id } = call;
    if (typeof name !== 'string' || name === '') return 'damaged';
    const index = calls++;
    const extra: ExtraContent = { google: { thought_signature: signature } };
    return {
      tool_calls: [
        {
          index,
          id: typeof id === 'string' && id !== '' ? id : newCallId(),
          type: 'function',
          function: { name, arguments: JSON.stringify(argsOf(exact) ?? call['args'] ?? {}) },
          ...(isText(signature) && { extra_content: extra }),
        },
      ],
    };
  }

  function partDelta(part: unknown, exact: unknown): Delta | 'damaged' | undefined {
    if (!isJsonObject(part)) return 'damaged';
    const { text, thought, functionCall, inlineData, thoughtSignature: signature } = part;
    if (functionCall !== undefined && functionCall !== null) {
      return isJsonObject(functionCall) ? callDelta(functionCall, signature, exact) : 'damaged';
    }
    // Newer ones replace it: they cover the thoughts before them, too.
    if (isText(signature)) google['thought_signature'] = signature;
    if (isJsonObject(inlineData)) return imageDelta(inlineData);
    if (text === undefined || text === null || text === '') return undefined;
    if (typeof text !== 'string') return 'damaged';
    return thought === true ? { reasoning_content: text } : { content: text };
  }

  return {
    read(candidate, exact) {
      for (const [name, own] of Object.entries(extras)) {
        if (isJsonObject(candidate[name])) google[own] = candidate[name];
      }
      const parts = partsOf(candidate);
      if (parts === 'damaged') return 'damaged';
      const exactParts = isJsonObject(exact) ? partsOf(exact) : [];
      const deltas = parts.map((part, index) => partDelta(part, exactParts[index]));
      if (deltas.includes('damaged')) return 'damaged';
      return deltas.filter((delta) => delta !== undefined && delta !== 'damaged');
    },

    end(candidate) {
      const { finishReason: reason, finishMessage: message } = candidate;
      const finishReason = finishReasonOf(reason, calls > 0);
      if (finishReason === undefined) return undefined;
      const delta: Delta = {
        ...(finishReason === 'content_filter' && isText(message) && { refusal: message }),
        ...(Object.keys(google).length > 0 && { extra_content: { google: { ...google } } }),
      };
      return {
        delta,
        finishReason,
        ...(!isUsualEnd(reason) && { nativeFinishReason: String(reason) }),
      };
    },
  };
}

function partsOf({ content }: JsonObject): readonly unknown[] | 'damaged' {
  if (content === undefined || content === null) return [];
  if (!isJsonObject(content)) return 'damaged';
  const { parts } = content;
  if (parts === undefined || parts === null) return [];
  return Array.isArray(parts) ? (parts as unknown[]) : 'damaged';
}

function argsOf(part: unknown): unknown {
  const call = isJsonObject(part) ? part['functionCall'] : undefined;
  return isJsonObject(call) ? call['args'] : undefined;
}

/** In the form of OpenRouter, as OpenAI's answers have no images. */
function imageDelta({ mimeType, data }: JsonObject): Delta | 'damaged' | undefined {
  if (typeof data !== 'string') return 'damaged';
  if (typeof mimeType !== 'string' || !mimeType.startsWith('image/')) return undefined;
  const url = `data:${mimeType};base64,${data}`;
  return { images: [{ type: 'image_url', image_url: { url } }] };
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

/** OpenAI's `logprobs` for a candidate's `logprobsResult`. */
export function logprobsOf({
  logprobsResult: result,
}: JsonObject): Record<string, unknown> | undefined {
  if (!isJsonObject(result)) return undefined;
  const chosen = itemsOf(result['chosenCandidates']);
  if (chosen.length === 0) return undefined;
  const top = itemsOf(result['topCandidates']);
  const content = chosen.map((one, index) => {
    const others = top[index];
    const candidates = isJsonObject(others) ? itemsOf(others['candidates']) : [];
    return { ...tokenOf(one), top_logprobs: candidates.map(tokenOf) };
  });
  return { content, refusal: null };
}

function tokenOf(value: unknown): Record<string, unknown> {
  const { token, logProbability } = isJsonObject(value) ? value : {};
  const text = typeof token === 'string' ? token : '';
  return { token: text, logprob: logProbability ?? 0, bytes: [...Buffer.from(text)] };
}
