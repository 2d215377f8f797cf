import type { FastifyRequest } from 'fastify';
import type { Principal } from '../auth/api-keys.ts';
import type { Refusal } from './refusals.ts';
import { addressOf } from '../auth/client.ts';
import type { ApiError } from '../errors.ts';

/**
 * Counts and logs what somebody is answered with instead of being served, by its code. What we
 * failed at is no refusal. Codes are words of ours: a provider's error never comes here.
 */
export function recordRefusal(
  refused: (refusal: Refusal) => void,
  { status, error, counted }: ApiError,
  who: Pick<Refusal, 'keyId' | 'address'>,
): void {
  if (counted || (status >= 500 && status !== 503)) return;
  refused({ reason: error.code ?? `status_${status}`, ...who });
}

/** Whose request it is, as far as that is known. */
export function clientOf(request: FastifyRequest): Pick<Refusal, 'keyId' | 'address'> {
  // Undefined before it was known, and on routes that ask for no key.
  const { principal } = request as { principal?: Principal };
  return { keyId: principal?.keyId, address: addressOf(request) };
}
