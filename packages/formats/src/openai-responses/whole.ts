import { isJsonObject, withinDepth } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { parseExactly } from '../exact-json.ts';
import { addDelta, finishMessage, startMessage } from '../openai-chat/completion-message.ts';
import { completionId } from '../openai-chat/chunk-writer.ts';
import type { ProviderCall, Verdict } from '../port.ts';
import { faultInResponse } from './errors.ts';
import { OutputReader } from './output.ts';
import { asksForReasoning } from './reasoning.ts';
import { finishReasonOf, isEnded, toChatUsage } from './usage.ts';

/** The verdict on a complete response, and the answer as a chat completion. */
export function readWhole(
  text: string,
  { model, body: asked }: Pick<ProviderCall, 'model' | 'body'>,
  now: () => number = Date.now,
): Verdict & { body?: string } {
  const response = parse(text);
  const fault = faultInResponse(response, { body: asked });
  if (fault) return { kind: 'fault', fault };
  if (!isResponse(response)) return invalid;
  const message = startMessage();
  const logprobs: unknown[] = [];
  const reader = new OutputReader((delta, tokens = []) => {
    addDelta(message, delta);
    logprobs.push(...tokens);
  });
  if (reader.takeOutput(response.output) === 'damaged') return invalid;
  const details = reader.encryptedReasoning();
  if (details.length > 0 && (reader.hasCalls || asksForReasoning(requestOf(asked)))) {
    addDelta(message, { reasoning_details: details });
  }
  const { id, model: told, created_at: created, status, usage: reported } = response;
  const finishReason = finishReasonOf(
    isEnded(status) ? status : 'completed',
    response,
    reader.hasCalls,
  );
  const usage = toChatUsage(reported);
  const body = JSON.stringify({
    id: completionId(id),
    object: 'chat.completion',
    created: Math.floor(typeof created === 'number' && created > 0 ? created : now() / 1000),
    model: told || model,
    choices: [
      {
        index: 0,
        message: finishMessage(message),
        logprobs: logprobs.length > 0 ? { content: logprobs, refusal: null } : null,
        finish_reason: finishReason,
      },
    ],
    usage,
  });
  return { kind: 'completed', finishReason, ...(usage && { usage }), body };
}

const invalid: Verdict = {
  kind: 'fault',
  fault: {
    code: 'upstream_invalid_response',
    message: 'The provider answered with something that is no whole response.',
  },
};

/** A response that has ended: one in the background has not. */
const isResponse = (value: unknown): value is JsonObject & { output: unknown[] } =>
  isJsonObject(value) &&
  Array.isArray(value['output']) &&
  (value['status'] === undefined || isEnded(value['status']));

function requestOf(body: string): JsonObject {
  const request = JSON.parse(body) as unknown;
  return isJsonObject(request) ? request : {};
}

function parse(text: string): unknown {
  try {
    return withinDepth(parseExactly(text));
  } catch {
    return undefined;
  }
}
