/** Whether a page of this origin may use the server. `origin`, `host`: as the browser sent them. */
export type OriginCheck = (origin: string | undefined, host: string | undefined) => boolean;

/**
 * Browsers open WebSockets without a preflight, so the server checks the origin: the listed origins and
 * the server's own are allowed. A client without an `Origin` is not a browser.
 */
export function createOriginCheck(allowed: readonly string[]): OriginCheck {
  return (origin, host) =>
    origin === undefined ||
    allowed.includes('*') ||
    allowed.includes(origin) ||
    isSameSite(origin, host);
}

/** A browser's headers about the page that sends a request. */
export type BrowserRequest = {
  method: string;
  origin: string | undefined;
  host: string | undefined;
  /** `Sec-Fetch-Site`, which pages cannot set. */
  site: string | undefined;
};

/**
 * Whether a page of another site requests a change (CSRF). Browsers send a known password with the requests
 * of any page; following a link is harmless. `Sec-Fetch-Site` takes precedence over the origin, which looks
 * foreign behind a proxy that changes the host.
 */
export function isCrossSiteWrite({ method, origin, host, site }: BrowserRequest): boolean {
  if (method === 'GET' || method === 'HEAD' || site === 'same-origin') return false;
  if (site !== undefined && site !== 'none') return true;
  return origin !== undefined && !isSameSite(origin, host);
}

function isSameSite(origin: string, host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(origin)) return false;
  const { protocol, host: from } = new URL(origin);
  const to = `${protocol}//${host}`;
  // Parsed, because one of the two may name the default port.
  return from !== '' && URL.canParse(to) && new URL(to).host === from;
}
