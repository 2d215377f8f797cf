import { isJsonObject } from '@millrace/shared/domain/json';

/*
 * Gemini signs its thoughts. A conversation keeps a signature where Google's OpenAI-compatible API has it: in
 * `extra_content.google.thought_signature` of a tool call, or of the message if it belongs to its text.
 */

/** Google's documented value for a call that another model made, or whose signature was lost. */
export const noSignature = 'skip_thought_signature_validator';

/** Google's own members of a message or a tool call in OpenAI's form. */
export function googleContent(source: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const extra = source['extra_content'];
  const google = isJsonObject(extra) ? extra['google'] : undefined;
  return isJsonObject(google) ? google : {};
}

/** The member `thoughtSignature` of a part, if the message or the tool call has one. */
export function signatureOf(source: Readonly<Record<string, unknown>>): {
  thoughtSignature?: string;
} {
  const signature = googleContent(source)['thought_signature'];
  return typeof signature === 'string' && signature !== '' ? { thoughtSignature: signature } : {};
}
