import type { Identity, Usage } from '../steps.ts';
import { VENDOR_FIELD } from '../vendor.ts';

/** The fields that every chunk and every answer begins with. */
export function chatHead(object: string, model: string, id: Identity, vendor: boolean): string {
  const head = `"id":${id.id},"object":"${object}","created":${id.created},"model":${model},"system_fingerprint":"simulated"`;
  return vendor ? head + VENDOR_FIELD : head;
}

export function chatUsage({ completion, reasoning }: Usage, prompt: number): string {
  return (
    `{"prompt_tokens":${prompt},"completion_tokens":${completion},"total_tokens":${prompt + completion},` +
    '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},' +
    `"completion_tokens_details":{"reasoning_tokens":${reasoning},"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`
  );
}

export function logprobOf(token: string): string {
  const bytes = [...Buffer.from(token)].join(',');
  return `{"token":${JSON.stringify(token)},"logprob":-0.125,"bytes":[${bytes}],"top_logprobs":[]}`;
}

/** The id of a tool call: unique over requests, so it is made from the answer's own id. */
export function toolCallId(call: number, identity: Identity): string {
  return `"call_${identity.id.slice(1, -1)}_${call}"`;
}
