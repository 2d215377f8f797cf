import type { FastifyRequest } from 'fastify';
import type { Principal } from '../admission/keys.ts';
import type { Services } from '../services.ts';
import { addressOf } from './client.ts';
import type { ApiError } from './errors.ts';

/**
 * Counts and logs what a request is answered with instead of being served, by its code. What we
 * failed at is no refusal. Codes are words of ours: a provider's error never comes here.
 */
export function noteRefusal(
  refused: Services['refused'],
  { status, error, counted }: ApiError,
  request: FastifyRequest,
): void {
  if (counted || (status >= 500 && status !== 503)) return;
  // Undefined before it was known, and on routes that ask for no key.
  const { principal } = request as { principal?: Principal };
  refused({
    reason: error.code ?? `status_${status}`,
    keyId: principal?.keyId,
    address: addressOf(request),
  });
}
