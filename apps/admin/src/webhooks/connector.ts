import { lookup as lookupName } from 'node:dns';
import type { LookupAddress, LookupOptions } from 'node:dns';
import { isIP } from 'node:net';
import { buildConnector } from 'undici';
import { addressProblem } from './address-rule.ts';

/** A webhook was to go to an address that it must not reach. */
export class ForbiddenAddress extends Error {
  override readonly name = 'ForbiddenAddress';
}

const forbidden = (host: string, address: string, problem: string): ForbiddenAddress =>
  new ForbiddenAddress(
    `${host === address ? address : `${host} resolves to ${address}, which`} is ${problem}: webhooks go to public addresses only, unless webhooks.allowPrivate is true`,
  );

type Lookup = (
  hostname: string,
  options: LookupOptions,
  done: (error: Error | null, found: string | LookupAddress[], family?: number) => void,
) => void;

/** Resolves a name as Node does, and fails if any of its addresses is not public: the connection is made to what was checked. */
const publicOnly: Lookup = (hostname, options, done) => {
  lookupName(hostname, { ...options, all: true }, (error, found) => {
    if (error) return done(error, []);
    for (const { address } of found) {
      const problem = addressProblem(address);
      if (problem !== undefined) return done(forbidden(hostname, address, problem), []);
    }
    const [first] = found;
    if (options.all === true || !first) return done(null, found);
    return done(null, first.address, first.family);
  });
};

/**
 * Opens connections to public addresses only. The addresses are checked when the connection is made, not before: a name may
 * resolve to another one each time.
 */
export function createConnector({
  allowPrivate,
  timeoutMs,
}: {
  allowPrivate: boolean;
  timeoutMs: number;
}): buildConnector.connector {
  const connect = buildConnector({
    timeout: timeoutMs,
    ...(!allowPrivate && { lookup: publicOnly }),
  });
  if (allowPrivate) return connect;
  return (options, done) => {
    const host = options.hostname.replace(/^\[(.*)\]$/, '$1');
    // A connection to a literal address makes no lookup.
    const problem = isIP(host) === 0 ? undefined : addressProblem(host);
    if (problem !== undefined) {
      done(forbidden(host, host, problem), null);
      return;
    }
    connect(options, done);
  };
}
