import type { FaultCode } from '@millrace/shared/domain/fault';

/** Reasons for which Google's filters stop an answer. */
const filtered: ReadonlySet<string> = new Set([
  'SAFETY',
  'RECITATION',
  'BLOCKLIST',
  'PROHIBITED_CONTENT',
  'SPII',
  'IMAGE_SAFETY',
  'IMAGE_PROHIBITED_CONTENT',
  'IMAGE_RECITATION',
  'ESCALATION',
  'MODEL_ARMOR',
]);

const faults: Readonly<Record<string, FaultCode>> = {
  MALFORMED_FUNCTION_CALL: 'upstream_unusable_output',
  MALFORMED_RESPONSE: 'upstream_unusable_output',
  UNEXPECTED_TOOL_CALL: 'upstream_unusable_output',
  TOO_MANY_TOOL_CALLS: 'upstream_unusable_output',
  // The conversation has calls of another model in a way that this one does not accept.
  MISSING_THOUGHT_SIGNATURE: 'target_unsuited',
  // The account is limited because of violations of Google's policy.
  PUP_LIMITED_DISABLED: 'upstream_auth_failed',
};

/** The fault that a `finishReason` means; undefined if it ends an answer. */
export const finishFault = (reason: unknown): FaultCode | undefined =>
  typeof reason === 'string' && Object.hasOwn(faults, reason) ? faults[reason] : undefined;

/**
 * OpenAI's finish_reason; undefined if the answer has no end. Gemini's STOP also ends an answer with calls. An unknown
 * reason counts as an ordinary end.
 */
export function finishReasonOf(reason: unknown, hasCalls: boolean): string | undefined {
  if (typeof reason !== 'string' || reason === '' || reason === 'FINISH_REASON_UNSPECIFIED') {
    return undefined;
  }
  // CONTINUATION: the limit of one request of Google's, with a token to ask for the rest.
  if (reason === 'MAX_TOKENS' || reason === 'CONTINUATION') return 'length';
  if (filtered.has(reason)) return 'content_filter';
  return hasCalls ? 'tool_calls' : 'stop';
}

/** Whether OpenAI's finish_reason says as much as Gemini's. */
export const isUsualEnd = (reason: unknown): boolean =>
  reason === 'STOP' || reason === 'MAX_TOKENS';
