import { UpstreamError } from '../faults.ts';
import type { Connection, NotSent } from './connection.ts';

/**
 * The most penalty points of a request that was not sent: a reused connection that turns out to be closed
 * costs 1; one that never served costs 2, as does a refusal, which may be repeated once (RFC 9113, 8.7).
 */
const maxLosses = 3;

/** Counts a connection that was lost before the request was sent; returns an error if that was too many. */
export function countLoss(
  request: { losses: number },
  lost: Pick<Connection, 'served'>,
  { refused }: NotSent,
): UpstreamError | undefined {
  const hadServed = lost.served > 0;
  request.losses += hadServed && !refused ? 1 : 2;
  if (request.losses <= maxLosses) return undefined;
  if (refused) {
    const message =
      'The provider refused the request again and again (HTTP/2 REFUSED_STREAM or GOAWAY).';
    return new UpstreamError('upstream_overloaded', message);
  }
  const [code, kind] = hadServed
    ? (['upstream_connection_stale', 'kept'] as const)
    : (['upstream_reset', 'new'] as const);
  const message = `The provider closed one ${kind} connection after the other before the request was sent.`;
  return new UpstreamError(code, message);
}
