import { isJsonObject, itemsOf, shownText } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import type { AnswerFacts } from '../../client-port.ts';
import { parseExactly } from '../../exact-json.ts';
import { choiceIndex, deltaOf, usageOf } from '../../openai-chat/chunk.ts';
import { CallGatherer, echoOf, googleOf, logprobsResultOf, partsOf } from './candidate.ts';
import type { Echo } from './candidate.ts';
import { finishReasonOf, fromInnerUsage, identityOf } from './usage.ts';

/** A chat completion as a response. */
export function encodeWhole(completion: string, facts: AnswerFacts): string {
  const value = parseExactly(completion);
  const answer: JsonObject = isJsonObject(value) ? value : {};
  const usage = usageOf(answer);
  const echo = echoOf(facts);
  return JSON.stringify({
    candidates: itemsOf(answer['choices'])
      .filter(isJsonObject)
      .map((choice, place) => candidateOf(choice, place, echo)),
    ...(usage && { usageMetadata: fromInnerUsage(usage) }),
    ...identityOf(answer, facts),
  });
}

function candidateOf(choice: JsonObject, place: number, echo: Echo): JsonObject {
  const message = deltaOf(choice) ?? {};
  const calls = new CallGatherer();
  calls.add(message);
  const google = googleOf(message);
  const { finish_reason: reason, native_finish_reason: native, logprobs } = choice;
  return {
    content: {
      parts: [...partsOf(message, echo), ...google.parts, ...calls.parts()],
      role: 'model',
    },
    finishReason: finishReasonOf(shownText(reason), native),
    index: choiceIndex(choice, place),
    ...logprobsResultOf(logprobs),
    ...google.members,
  };
}
