import type { Socket } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { plainAddress } from './addresses.ts';
import type { Peer } from './local-only.ts';
import type { BrowserRequest } from './origins.ts';

/** The client's address: of the socket, or from a trusted proxy. Empty once the socket is closed. */
export const addressOf = (request: FastifyRequest): string =>
  // Where proxies are trusted, `request.ip` throws without a socket.
  socketOf(request) === null ? '' : plainAddress(request.ip);

/** Null: Node has removed it, because the response has ended. */
const socketOf = ({ raw }: FastifyRequest): Socket | null => raw.socket;

/**
 * `isProxy`: whether an address is that of a trusted proxy. Of a trusted proxy only `x-forwarded-for` is
 * read; any other header of a proxy only shows that the client is not the owner of the socket.
 */
export function peerOf(request: FastifyRequest, isProxy: (address: string) => boolean): Peer {
  const { origin, host, forwarded, 'x-forwarded-for': via, 'x-real-ip': real } = request.headers;
  const isBelieved = via !== undefined && isProxy(socketOf(request)?.remoteAddress ?? '');
  const isForwarded = [via, forwarded, real].some((header) => header !== undefined);
  return { address: addressOf(request), origin, host, forwarded: isForwarded && !isBelieved };
}

/** The browser's headers about the page that sends the request. */
export function browserRequestOf({
  method,
  headers,
}: Pick<FastifyRequest, 'method' | 'headers'>): BrowserRequest {
  const { origin, host, 'sec-fetch-site': site } = headers;
  return { method, origin, host, site: typeof site === 'string' ? site : undefined };
}
