import { createHash, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { Socket } from 'node:net';
import { connect } from 'node:tls';
import type { DetailedPeerCertificate, SecureContext, TLSSocket } from 'node:tls';
import { UpstreamError } from '../faults.ts';
import { onceEvent } from './socket-event.ts';

export type TlsOptions = {
  context: SecureContext;
  /** SHA-256 of public keys (SPKI), base64. Empty: any key with a valid certificate. */
  pins: readonly string[];
  http2: boolean;
};

export type Secured = { socket: TLSSocket; resumed: boolean };

/** TLS to one host. Keeps the newest session, so that the next handshake is short. */
export type TlsClient = {
  /** Rejects with `upstream_tls_failed` or the connection's error; then the socket is destroyed. */
  secure(socket: Socket, signal: AbortSignal): Promise<Secured>;
};

export function createTlsClient(host: string, { context, pins, http2 }: TlsOptions): TlsClient {
  let session: Buffer | undefined;
  return {
    async secure(socket, signal) {
      const tls = connect({
        socket,
        host,
        secureContext: context,
        ALPNProtocols: http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
        // SNI does not allow IP addresses.
        ...(isIP(host) === 0 && { servername: host }),
        ...(session && { session }),
        // Invalid certificates are not accepted: Node's verdict is checked below, before the first byte of a
        // request, where the error can still name the certificate.
        rejectUnauthorized: false,
      });
      tls.on('error', () => {});
      let newest: Buffer | undefined;
      let trusted = false;
      tls.on('session', (given: Buffer) => {
        newest = given;
        if (trusted) session = given;
      });
      try {
        await onceEvent(tls, 'secureConnect', signal);
      } catch (error) {
        session = undefined;
        throw error;
      }
      const resumed = tls.isSessionReused();
      const objection = judge(tls, host, pins);
      if (objection !== undefined) {
        tls.destroy();
        throw new UpstreamError('upstream_tls_failed', objection);
      }
      trusted = true;
      session = newest ?? session;
      return { socket: tls, resumed };
    },
  };
}

/**
 * Why this server is not trusted; undefined if it is. A resumed session has no certificates any more, but it
 * was checked here, with its pins, and only its owner can resume it.
 */
function judge(tls: TLSSocket, host: string, pins: readonly string[]): string | undefined {
  const chain = chainOf(tls);
  const [leaf] = chain;
  if (!leaf) {
    const isKnown = tls.authorized && tls.isSessionReused();
    return isKnown ? undefined : 'The provider showed no certificate.';
  }
  // Node declares it as an Error, but it is an error code.
  if (!tls.authorized) return explain(String(tls.authorizationError), leaf, host);
  if (tls.isSessionReused()) return undefined;
  if (pins.length === 0) return undefined;
  const found = keysOf(chain);
  if (found.some((pin) => pins.includes(pin))) return undefined;
  const list = (all: readonly string[]) => all.map((pin) => `sha256/${pin}`).join(', ');
  return `The provider's certificate is not pinned: expected ${list(pins)}, found ${list(found)}.`;
}

function explain(code: string, leaf: X509Certificate, host: string): string {
  const name = oneLine(leaf.subject) || 'without a name';
  const what: Record<string, string> = {
    ERR_TLS_CERT_ALTNAME_INVALID: `expected a certificate for ${host}, found one for ${leaf.subjectAltName ?? name}`,
    CERT_HAS_EXPIRED: `it has expired, or an issuer's has: ${name}, valid until ${leaf.validTo}`,
    CERT_NOT_YET_VALID: `it is not valid yet, or an issuer's is not: ${name}, valid from ${leaf.validFrom}`,
    DEPTH_ZERO_SELF_SIGNED_CERT: `expected one by a known authority, found a self-signed one (${name})`,
    SELF_SIGNED_CERT_IN_CHAIN: `expected a known authority, found ${oneLine(leaf.issuer)}`,
  };
  const unknown = `expected a known authority, found ${oneLine(leaf.issuer)}`;
  return `The provider's certificate is not valid: ${what[code] ?? unknown} (${code}).`;
}

const oneLine = (name: string): string => name.replaceAll('\n', ', ');

/** The most certificates of a chain that are read. */
const maxChain = 10;

/** The server's certificate and its issuers, including the trusted root, as far as they are known. */
function chainOf(tls: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  // The newer `getPeerX509Certificate` omits a root that the server does not send, and once it was called
  // this function finds nothing (Node 24.21).
  let cert: DetailedPeerCertificate | undefined = tls.getPeerCertificate(true);
  while (cert?.raw && chain.length < maxChain) {
    chain.push(new X509Certificate(cert.raw));
    cert = cert.issuerCertificate === cert ? undefined : cert.issuerCertificate;
  }
  return chain;
}

/**
 * The public keys of a certificate and of its issuers. The certificates that a server sends with its own are
 * only a claim, and Node links the chain by names, so each link is verified by its signature. Otherwise any
 * server could send a pinned issuer along.
 */
export function keysOf(chain: readonly X509Certificate[]): string[] {
  const keys: string[] = [];
  for (const [index, cert] of chain.entries()) {
    const below = chain[index - 1];
    if (below && !(below.checkIssued(cert) && below.verify(cert.publicKey))) break;
    const spki = cert.publicKey.export({ type: 'spki', format: 'der' });
    keys.push(createHash('sha256').update(spki).digest('base64'));
  }
  return keys;
}
