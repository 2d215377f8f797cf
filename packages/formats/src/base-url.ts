type Parts = { hostname: string; pathname: string };

/** Of the config's providers, and so no more than those. */
const known = new Map<string, Parts>();

/** The parts of a provider's base URL, which each request needs; without a slash at the path's end. */
export function partsOf(baseUrl: string): Parts {
  let parts = known.get(baseUrl);
  if (!parts) {
    const { hostname, pathname } = new URL(baseUrl);
    known.set(baseUrl, (parts = { hostname, pathname: pathname.replace(/\/+$/, '') }));
  }
  return parts;
}
