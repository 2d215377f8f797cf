import { memberText, setMembers } from '@millrace/shared/domain/json-text';
import type { AnsweredCall, ProviderCall } from '../port.ts';

/**
 * The request's `stream_options` as they go upstream, as JSON text: with usage asked for, which the ledger
 * needs and only a client that asked for it is sent. Null where the target takes none.
 */
export function streamOptionsFor({ body, omitsStreamOptions }: ProviderCall): string | null {
  if (omitsStreamOptions) return null;
  const own = memberText(body, 'stream_options');
  return own?.startsWith('{')
    ? setMembers(own, { include_usage: 'true' })
    : '{"include_usage":true}';
}

/** Whether all that a call has in its `stream_options` is what we ask for: a refusal of it is ours. */
export function addsStreamOptions({ body, stream, omitsStreamOptions }: AnsweredCall): boolean {
  if (!stream || omitsStreamOptions) return false;
  const own = memberText(body, 'stream_options') ?? '{}';
  return /^(null|\{\s*("include_usage"\s*:\s*(true|false)\s*)?\})$/.test(own);
}
