import type { OpenAiError } from '@millrace/shared/domain/entry';
import type { Fault } from '@millrace/shared/domain/fault';
import { createRedactor, mapTexts, maskIdentifiers } from './redaction.ts';
import type { Redact } from './redaction.ts';

/** Levels of an error object that are passed on: no error is nested deeper and still readable. */
const maxErrorDepth = 20;
/**
 * Characters of all texts of an error that are passed on; the rest is cut off. An error inside an answer can
 * be as large as an answer, and the search for the key costs 0.1 µs per character.
 */
const maxErrorChars = 128 * 1024;
/** Characters of a provider's message that the queue, the ledger and logs at `debug` keep. */
export const maxDetailChars = 500;

/**
 * The fault as a client may see it. Providers repeat what they were sent: the key, and any other secret, is removed from all
 * their texts, and account identifiers from those that a client may see. `detail` keeps the provider's message,
 * without the key, for the operator. Our own code and status stay. Never throws.
 */
export function redactFault(fault: Fault, ...secrets: readonly (string | undefined)[]): Fault {
  const redactors = secrets.map(createRedactor);
  const hideKey: Redact = (text) => redactors.reduce((shown, hide) => hide(shown), text);
  let left = maxErrorChars;
  const clean = (text: string) => {
    const kept = text.slice(0, left);
    left -= kept.length;
    return maskIdentifiers(hideKey(kept));
  };
  const redacted: Fault = { ...fault, message: clean(fault.message.slice(0, maxErrorChars / 4)) };
  const detail = (fault.detail ?? detailOf(fault))?.slice(0, maxErrorChars);
  if (detail !== undefined) redacted.detail = hideKey(detail).slice(0, maxDetailChars);
  if (fault.error) redacted.error = cleanError(fault.error, clean);
  return redacted;
}

/** OpenAI's own members keep their names. */
function cleanError(
  { message, type, param, code, ...rest }: OpenAiError,
  clean: Redact,
): OpenAiError {
  const own = {
    message: clean(message.slice(0, maxErrorChars / 4)),
    type: clean(type),
    param: param === null ? null : clean(param),
    code: code === null ? null : clean(code),
  };
  return { ...(mapTexts(rest, clean, maxErrorDepth) as object), ...own };
}

/** `401 invalid_api_key: Incorrect API key provided.`; undefined if the provider sent nothing. */
function detailOf({ httpStatus, error, message }: Fault): string | undefined {
  if (!error) return httpStatus === undefined ? undefined : message;
  const named = [httpStatus, error.code].filter((one) => one !== undefined && one !== null);
  return `${named.join(' ')}${named.length > 0 ? ': ' : ''}${error.message}`;
}
