type Parts = { hostname: string; pathname: string };

/** A cache, bounded by the number of configured providers. */
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
