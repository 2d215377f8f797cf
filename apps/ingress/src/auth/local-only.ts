import { isIP } from 'node:net';
import { isLoopback } from './addresses.ts';

/* Who may do without a key or a password: programs and pages of this machine. */

export type Neighbour = {
  /** Of the socket, or what proxies that are trusted say; empty where it is not known. */
  address: string;
  /** `Origin` and `Host`, as sent: who asks through a browser, and whom it believes to ask. */
  origin?: string | undefined;
  host?: string | undefined;
  /** It came through a proxy whose word on whom it asks for is not believed, or was not read. */
  forwarded?: boolean | undefined;
};

export type LocalRefusal = 'loopback_only' | 'untrusted_proxy' | 'foreign_page';

/** Why somebody may not be of this machine; undefined for who is. `origins`: pages that may, too. */
export function whyNotLocal(
  { address, origin, host, forwarded }: Neighbour,
  origins: readonly string[] = [],
): LocalRefusal | undefined {
  if (!isLoopback(address)) return 'loopback_only';
  // A proxy on this machine makes everybody a neighbour.
  if (forwarded) return 'untrusted_proxy';
  // A page of another site, or one whose name was made to point here, speaks through a browser on
  // this machine.
  const isWelcome =
    isLocalName(hostOf(origin)) || origins.includes('*') || origins.includes(origin ?? '');
  return isWelcome && isLocalName(hostOf(host && `http://${host}`)) ? undefined : 'foreign_page';
}

/** Undefined where there is none; an empty text where it cannot be read. */
function hostOf(url: string | undefined): string | undefined {
  if (url === undefined) return undefined;
  return URL.canParse(url) ? new URL(url).hostname : '';
}

function isLocalName(name: string | undefined): boolean {
  if (name === undefined || name === 'localhost' || name.endsWith('.localhost')) return true;
  const address = name.replace(/^\[|\]$/g, '');
  return isIP(address) !== 0 && isLoopback(address);
}
