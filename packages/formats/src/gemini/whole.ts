import type { Fault } from '@millrace/shared/domain/fault';
import { isJsonObject, parseShallow } from '@millrace/shared/domain/json';
import { assembleCompletion } from '../openai-chat/completion.ts';
import type { ProviderCall, Verdict } from '../port.ts';
import { faultIn } from './errors.ts';
import { GeminiDecoder } from './stream.ts';

/**
 * The verdict on a complete answer, and the answer as a chat completion. It is one response, or an array of those of
 * a stream, which Gemini sends to a request without `alt=sse`.
 */
export function readWhole(
  text: string,
  call: Pick<ProviderCall, 'model' | 'body'>,
  now: () => number = Date.now,
): Verdict & { body?: string } {
  const value = parse(text);
  const responses: unknown[] = Array.isArray(value) ? value : [value];
  const chunks: unknown[] = [];
  const decoder = new GeminiDecoder(
    { ...call, identity: undefined },
    {
      plain: (line) => chunks.push(JSON.parse(line)),
      chunk: (_line, chunk) => chunks.push(chunk),
      usage: (line) => chunks.push(JSON.parse(line)),
    },
    now,
  );
  for (const response of responses) {
    if (!isJsonObject(response)) return invalidAnswer;
    const fault = faultIn(response, { body: call.body });
    if (fault) return { kind: 'fault', fault };
    const data = responses.length === 1 ? text : JSON.stringify(response);
    if (decoder.take(response, { data }) === 'damaged') return invalidAnswer;
  }
  const completion = decoder.finished ? assembleCompletion(chunks) : undefined;
  if (!completion) return invalidAnswer;
  const verdict = decoder.completed();
  return { ...verdict, body: JSON.stringify(completion) };
}

const invalidAnswer: { kind: 'fault'; fault: Fault } = {
  kind: 'fault',
  fault: {
    code: 'upstream_invalid_response',
    message: 'The provider answered with something that is no whole response.',
  },
};

function parse(text: string): unknown {
  try {
    return parseShallow(text);
  } catch {
    return undefined;
  }
}
