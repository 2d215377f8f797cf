import type { FastifyRequest } from 'fastify';
import type { Principal } from '../auth/api-keys.ts';
import type { Refusal } from './refusals.ts';
import { addressOf } from '../auth/client-address.ts';

/**
 * Counts and logs an error with which a client is refused, over HTTP and on WebSockets. A failure of this
 * server is not a refusal. The codes are this server's own: a provider's error is never passed here.
 */
export function recordRefusal(
  refused: (refusal: Refusal) => void,
  { status, count }: RefusingError,
  { keyId, address }: Pick<Refusal, 'keyId' | 'address'>,
): void {
  if (status >= 500 && status !== 503) return;
  refused({ reason: count.reason, keyId: count.keyId ?? keyId, address });
}

export type RefusingError = {
  status: number;
  /** The reason under which it is counted, and the key if its request has no principal. */
  count: { reason: string; keyId?: string | undefined };
};

/** The key and the address of a request, as far as they are known. */
export function clientOf(request: FastifyRequest): Pick<Refusal, 'keyId' | 'address'> {
  // Undefined before authentication, and on routes that need no key.
  const { principal } = request as { principal?: Principal };
  return { keyId: principal?.keyId, address: addressOf(request) };
}
