import { networkInterfaces } from 'node:os';

/**
 * Where other machines reach a server that listens on this host and port: the address itself, or the first one of this
 * machine if it listens on all of them.
 */
export function reachableUrl(host: string, port: number): string {
  const isAny = host === '0.0.0.0' || host === '::';
  const address = isAny ? (ownAddress() ?? '127.0.0.1') : host === 'localhost' ? '127.0.0.1' : host;
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
}

function ownAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ internal, family }) => !internal && family === 'IPv4')?.address;
}
