/** Whether a page of this origin may speak to us. `origin`, `host`: as the browser sent them. */
export type OriginCheck = (origin: string | undefined, host: string | undefined) => boolean;

/**
 * Browsers ask nobody before they open a WebSocket, so its server has to look: pages of the listed
 * origins may, and those that this server's own name served. Who sends no origin is no browser.
 */
export function createOriginCheck(allowed: readonly string[]): OriginCheck {
  return (origin, host) =>
    origin === undefined ||
    allowed.includes('*') ||
    allowed.includes(origin) ||
    isSameSite(origin, host);
}

/** What a browser says of the page that asks. */
export type Asker = {
  method: string;
  origin: string | undefined;
  host: string | undefined;
  /** `Sec-Fetch-Site`, which pages cannot set. */
  site: string | undefined;
};

/**
 * Whether a page of another site asks for more than to look. Browsers send a password that they know along
 * with whatever any page asks for; to follow a link does no harm. A browser's own word beats the origin, which
 * a proxy that changes the host makes look foreign.
 */
export function isPressedElsewhere({ method, origin, host, site }: Asker): boolean {
  if (method === 'GET' || method === 'HEAD' || site === 'same-origin') return false;
  if (site !== undefined && site !== 'none') return true;
  return origin !== undefined && !isSameSite(origin, host);
}

function isSameSite(origin: string, host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(origin)) return false;
  const { protocol, host: from } = new URL(origin);
  const to = `${protocol}//${host}`;
  // Parsed, because one of the two may name the port that is the default.
  return from !== '' && URL.canParse(to) && new URL(to).host === from;
}
