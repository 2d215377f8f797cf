import { memberText, setMembers } from '@millrace/shared/domain/json-text';
import type { AnsweredCall, ProviderCall } from '../port.ts';

/**
 * The request's `stream_options` for the provider, as JSON text: always with usage, which the ledger needs; a
 * client gets it only if it asked for it. Null if the target does not support them.
 */
export function streamOptionsFor({ body, omitsStreamOptions }: ProviderCall): string | null {
  if (omitsStreamOptions) return null;
  const own = memberText(body, 'stream_options');
  return own?.startsWith('{')
    ? setMembers(own, { include_usage: 'true' })
    : '{"include_usage":true}';
}

/** Whether a call's `stream_options` only have what we add, so that a rejection of them is caused by us. */
export function addsStreamOptions({ body, stream, omitsStreamOptions }: AnsweredCall): boolean {
  if (!stream || omitsStreamOptions) return false;
  const own = memberText(body, 'stream_options') ?? '{}';
  return /^(null|\{\s*("include_usage"\s*:\s*(true|false)\s*)?\})$/.test(own);
}
