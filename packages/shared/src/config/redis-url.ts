import { isAbsolute } from 'node:path';

/** Where a Redis is and how to log in: what a URL says, in the words of the client's options. */
export type RedisAddress = (
  | { readonly path: string }
  | { readonly host: string; readonly port: number; readonly tls: boolean }
) & {
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
};

export const redisUrlExpectation =
  'a URL such as redis://host:6379/0, rediss://user:password@host:6379 or unix:///path/redis.sock';

/** `redis://`, `rediss://` (TLS) or `unix:///absolute/path.sock?db=N`; undefined for anything else. */
export function parseRedisUrl(url: string): RedisAddress | undefined {
  try {
    return /^unix:\/\//i.test(url) ? parseUnix(url) : parseNetwork(url);
  } catch {
    return undefined; // a URL that cannot be parsed, or a %-escape that stands for nothing
  }
}

/** The unix:// URL of a socket's path, whatever characters the path has. */
export function unixSocketUrl(path: string): string {
  return `unix://${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** The same URL fit to be printed: without its password, and without what is no URL at all. */
export function redactUrl(url: string): string {
  const address = parseRedisUrl(url);
  if (!address) return 'a URL that cannot be read';
  const login =
    address.password === undefined ? (address.username ?? '') : `${address.username ?? ''}:***`;
  const at = login === '' ? '' : `${login}@`;
  if ('path' in address)
    return `unix://${at}${address.path}${address.db ? `?db=${address.db}` : ''}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  const db = address.db ? `/${address.db}` : '';
  return `${address.tls ? 'rediss' : 'redis'}://${at}${host}:${address.port}${db}`;
}

/** By hand: a URL with a login but no host is none to the standard's parser. */
function parseUnix(url: string): RedisAddress | undefined {
  const match = /^unix:\/\/(?:([^@/]*)@)?(\/[^?#]*)(?:\?db=(\d+))?$/i.exec(url);
  const path = decodeURIComponent(match?.[2] ?? '');
  if (!match || !isAbsolute(path) || path.endsWith('/')) return undefined;
  const [username, ...password] = (match[1] ?? '').split(':');
  return { path, ...login(username ?? '', password.join(':')), db: Number(match[3] ?? 0) };
}

function parseNetwork(url: string): RedisAddress | undefined {
  const { protocol, hostname, port, pathname, username, password, search, hash } = new URL(url);
  const db = /^\/?(\d*)$/.exec(pathname)?.[1];
  if (!/^rediss?:$/.test(protocol) || hostname === '' || db === undefined || search || hash)
    return undefined;
  return {
    host: decodeURIComponent(hostname).replace(/^\[|\]$/g, ''),
    port: port === '' ? 6379 : Number(port),
    tls: protocol === 'rediss:',
    ...login(username, password),
    db: Number(db),
  };
}

function login(username: string, password: string): { username?: string; password?: string } {
  return {
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
  };
}
