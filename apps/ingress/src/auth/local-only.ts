import { isIP } from 'node:net';
import { isLoopback } from './addresses.ts';

/* Programs and pages of this machine need no key and no password. */

export type Peer = {
  /** The peer's address, of the socket or from a trusted proxy; empty if unknown. */
  address: string;
  /** `Origin` and `Host`, as sent: the page that sends the request, and the host that it means to reach. */
  origin?: string | undefined;
  host?: string | undefined;
  /** The request came through a proxy that is not trusted. */
  forwarded?: boolean | undefined;
};

export type LocalRefusal = 'loopback_only' | 'untrusted_proxy' | 'foreign_page';

/** Why a peer does not count as local; undefined if it does. `origins`: web origins that count as local. */
export function whyNotLocal(
  { address, origin, host, forwarded }: Peer,
  origins: readonly string[] = [],
): LocalRefusal | undefined {
  if (!isLoopback(address)) return 'loopback_only';
  // Behind a proxy on this machine every client has a loopback address.
  if (forwarded) return 'untrusted_proxy';
  // A page of another site, or one whose name resolves to this machine (DNS rebinding), comes through a
  // browser on this machine.
  const isAllowed =
    isLocalName(hostOf(origin)) || origins.includes('*') || origins.includes(origin ?? '');
  return isAllowed && isLocalName(hostOf(host && `http://${host}`)) ? undefined : 'foreign_page';
}

/** Undefined for undefined; empty for what is not a URL. */
function hostOf(url: string | undefined): string | undefined {
  if (url === undefined) return undefined;
  return URL.canParse(url) ? new URL(url).hostname : '';
}

function isLocalName(name: string | undefined): boolean {
  if (name === undefined || name === 'localhost' || name.endsWith('.localhost')) return true;
  const address = name.replace(/^\[|\]$/g, '');
  return isIP(address) !== 0 && isLoopback(address);
}
