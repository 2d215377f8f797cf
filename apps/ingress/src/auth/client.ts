import type { FastifyRequest } from 'fastify';
import { plainAddress } from './addresses.ts';
import type { Neighbour } from './local-only.ts';
import type { Asker } from './origins.ts';

/** The client's address: of the socket, or what proxies that are trusted say. Empty once it is gone. */
export const addressOf = (request: FastifyRequest): string => plainAddress(request.ip);

/**
 * Who asks, as far as it is believed. `isProxy`: whose `x-forwarded-for` is; no other header that
 * proxies write is read, and one that came all the same says that somebody is behind this socket.
 */
export function neighbourOf(
  request: FastifyRequest,
  isProxy: (address: string) => boolean,
): Neighbour {
  const { origin, host, forwarded, 'x-forwarded-for': via, 'x-real-ip': real } = request.headers;
  const isBelieved = via !== undefined && isProxy(request.raw.socket.remoteAddress ?? '');
  const isForwarded = [via, forwarded, real].some((header) => header !== undefined);
  return { address: addressOf(request), origin, host, forwarded: isForwarded && !isBelieved };
}

/** The page that asks, as its browser tells. */
export function askerOf({ method, headers }: Pick<FastifyRequest, 'method' | 'headers'>): Asker {
  const { origin, host, 'sec-fetch-site': site } = headers;
  return { method, origin, host, site: typeof site === 'string' ? site : undefined };
}
