import { isJsonObject } from '@millrace/shared/domain/json';

type Json = Readonly<Record<string, unknown>>;

/** The usage of a response in the form of a chat completion's; further counts keep their names. Undefined if there is none. */
export function toChatUsage(usage: unknown): Record<string, unknown> | undefined {
  if (!isJsonObject(usage)) return undefined;
  const {
    input_tokens: input,
    input_tokens_details: inputDetails,
    output_tokens: output,
    output_tokens_details: outputDetails,
    total_tokens: total,
    ...others
  } = usage;
  const prompt = count(input);
  const completion = count(output);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: typeof total === 'number' ? total : prompt + completion,
    ...(isJsonObject(inputDetails) && { prompt_tokens_details: inputDetails }),
    ...(isJsonObject(outputDetails) && { completion_tokens_details: outputDetails }),
    ...others,
  };
}

const count = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** The statuses with which a response has ended with an answer. */
export type Ended = 'completed' | 'incomplete';

export const isEnded = (status: unknown): status is Ended =>
  status === 'completed' || status === 'incomplete';

/** An answer that is incomplete for an unknown reason counts as one that was too long. */
export function finishReasonOf(status: Ended, response: Json, hasCalls: boolean): string {
  if (status === 'completed') return hasCalls ? 'tool_calls' : 'stop';
  const details = response['incomplete_details'];
  const reason = isJsonObject(details) ? details['reason'] : undefined;
  return reason === 'content_filter' ? 'content_filter' : 'length';
}
