import { isJsonObject } from '@millrace/shared/domain/json';
import { memberText } from '@millrace/shared/domain/json-text';
import { readEndpoint } from './client-apis.ts';
import type { ResolveContext, Resolved } from './port.ts';

/** What the `body` of a job or of a frame with this text refers to. Rejects with an ApiError. */
export async function resolveInner(
  { endpoint, body }: Record<string, unknown>,
  text: string,
  context: Omit<ResolveContext, 'text'>,
): Promise<Resolved | undefined> {
  const api = readEndpoint(endpoint);
  if (!api.resolve || !isJsonObject(body)) return undefined;
  return api.resolve(body, { ...context, text: memberText(text, 'body') ?? '{}' });
}
