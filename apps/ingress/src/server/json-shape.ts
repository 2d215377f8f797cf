import { maxJsonDepth } from '@millrace/shared/domain/json-bounds';
import type { JsonBounds, JsonExcess } from '@millrace/shared/domain/json-bounds';
import { apiError } from '../api-error.ts';
import type { ApiError } from '../api-error.ts';

/** The bounds of a request's JSON, over HTTP and on WebSockets; they are checked before the text is parsed. */
export const requestBounds = (limits: { requestValues: number }): JsonBounds => ({
  depth: maxJsonDepth,
  values: limits.requestValues,
});

/** The error of a request that exceeds its bounds. */
export function tooComplex(excess: JsonExcess, { depth, values }: JsonBounds): ApiError {
  if (excess === 'depth') return apiError('request_too_deep', { depth });
  return apiError('request_too_complex', { values });
}
