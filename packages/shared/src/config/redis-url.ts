import { isAbsolute } from 'node:path';

/** The address and credentials in a Redis URL, as options of the client. */
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
    return undefined; // a URL that cannot be parsed, or an invalid %-escape
  }
}

/** The unix:// URL of a socket's path; the path may have any characters. */
export function unixSocketUrl(path: string): string {
  return `unix://${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** The URL for printing: without its password; an unreadable URL is not printed. */
export function redactUrl(url: string): string {
  const address = parseRedisUrl(url);
  if (!address) return 'an unreadable URL';
  const login =
    address.password === undefined ? (address.username ?? '') : `${address.username ?? ''}:***`;
  const at = login === '' ? '' : `${login}@`;
  if ('path' in address)
    return `unix://${at}${address.path}${address.db ? `?db=${address.db}` : ''}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  const db = address.db ? `/${address.db}` : '';
  return `${address.tls ? 'rediss' : 'redis'}://${at}${host}:${address.port}${db}`;
}

/** Parsed by hand, because the standard parser rejects a URL with credentials but no host. */
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
