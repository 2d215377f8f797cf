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

function isSameSite(origin: string, host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(origin)) return false;
  const { protocol, host: from } = new URL(origin);
  const to = `${protocol}//${host}`;
  // Parsed, because one of the two may name the port that is the default.
  return from !== '' && URL.canParse(to) && new URL(to).host === from;
}
