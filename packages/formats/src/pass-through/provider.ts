import { parseShallow } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { setMembers, topLevelMembers } from '@millrace/shared/domain/json-text';
import type { Endpoint } from '@millrace/shared/domain/request';
import { usageOf } from '../openai-chat/chunk.ts';
import { faultIn } from '../openai-chat/errors.ts';
import { openAiChat, requestTo } from '../openai-chat/provider.ts';
import type { AnsweredCall, ProviderFormat, Verdict } from '../port.ts';

/*
 * OpenAI's APIs, and those of compatible servers, whose requests and answers pass through byte for byte, but for the model:
 * whole calls without a conversation, of which nothing can be continued or translated.
 */

type PassThroughApi = {
  /** After a provider's base URL. */
  path: string;
  /** The member of an answer with its results, an array; of several, one is there. */
  results: readonly string[];
  /** An answer may have no result. */
  mayBeEmpty?: true;
};

function passThroughFormat(api: PassThroughApi): ProviderFormat {
  return {
    ...openAiChat,
    maxValues: Infinity,
    request: (call) =>
      requestTo(api.path, call, setMembers(call.body, { model: JSON.stringify(call.model) })),
    readWhole: (text, call) => readAnswer(text, api, call),
  };
}

/** By endpoint; the others have no such format. */
export const passThroughFormats: Readonly<Partial<Record<Endpoint, ProviderFormat>>> = {
  '/v1/embeddings': passThroughFormat({ path: '/embeddings', results: ['data'] }),
  '/v1/moderations': passThroughFormat({ path: '/moderations', results: ['results'] }),
  // Voyage has `data`, Cohere, Jina and vLLM have `results`.
  '/v1/rerank': passThroughFormat({
    path: '/rerank',
    results: ['results', 'data'],
    mayBeEmpty: true,
  }),
};

/** Characters of an answer beside its results: these APIs have some hundred. */
const maxOtherChars = 64 * 1024;

/** The results can be millions of numbers, and are not parsed. */
function readAnswer(text: string, api: PassThroughApi, call: AnsweredCall): Verdict {
  const results: Record<string, string> = {};
  let others: string;
  try {
    const members = topLevelMembers(text);
    for (const name of api.results) {
      const span = members.get(name);
      if (span && text[span.start] === '[') results[name] = text.slice(span.start, span.end);
    }
    const emptied = Object.fromEntries(Object.keys(results).map((name) => [name, '[]']));
    others = setMembers(text, emptied);
  } catch {
    return invalid('something that is no JSON object');
  }
  if (others.length > maxOtherChars) return invalid('no results');
  const answer = parse(others);
  if (!answer) return invalid('something that is no JSON object');
  const fault = faultIn(answer, call);
  const texts = Object.values(results);
  // An answer with results may have any members beside them that resemble an error's.
  if (fault && (texts.length === 0 || answer['error'])) return { kind: 'fault', fault };
  const hasResults = texts.some((one) => api.mayBeEmpty || !/^\[\s*\]$/.test(one));
  if (!hasResults) return invalid('no results');
  return { kind: 'completed', finishReason: null, usage: countedUsage(usageOf(answer)) };
}

/** Some servers report only the sum, which is the prompt: nothing is generated. */
function countedUsage(usage: JsonObject | undefined): JsonObject | undefined {
  if (!usage || typeof usage['prompt_tokens'] === 'number') return usage;
  const { total_tokens: total } = usage;
  return typeof total === 'number' ? { ...usage, prompt_tokens: total } : undefined;
}

const parse = (text: string): JsonObject | undefined => {
  try {
    return parseShallow(text) as JsonObject;
  } catch {
    return undefined;
  }
};

const invalid = (what: string): Verdict => ({
  kind: 'fault',
  fault: { code: 'upstream_invalid_response', message: `The provider answered with ${what}.` },
});
