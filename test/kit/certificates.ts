import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** A certificate with its key, created when needed: the repository has none that could expire. */
export type Certificate = {
  /** PEM. */
  cert: string;
  key: string;
  /** SHA-256 of its public key, base64. */
  pin: string;
  name: string;
  privateKey: KeyObject;
};

export type CertificateOptions = {
  name: string;
  /** Absent: self-signed. */
  issuer?: Certificate;
  isAuthority?: boolean;
  /** DNS names and IPv4 addresses. */
  hosts?: readonly string[];
  /** Days from now; default -1 and 30. */
  from?: number;
  until?: number;
};

/** Uses elliptic keys (P-256), signed with SHA-256, which takes a millisecond. */
export function makeCertificate(options: CertificateOptions): Certificate {
  const { name, issuer, isAuthority = false, hosts = [], from = -1, until = 30 } = options;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const extensions = [
    extension('551d13', sequence(isAuthority ? [der(0x01, Buffer.from([0xff]))] : []), true),
    ...(hosts.length > 0 ? [extension('551d11', sequence(hosts.map(hostName)))] : []),
  ];
  const body = sequence([
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ecdsaWithSha256,
    distinguishedName(issuer?.name ?? name),
    sequence([time(from), time(until)]),
    distinguishedName(name),
    spki,
    der(0xa3, sequence(extensions)),
  ]);
  const signature = sign('sha256', body, issuer?.privateKey ?? privateKey);
  const whole = sequence([body, ecdsaWithSha256, der(0x03, prefixed(0, signature))]);
  const pem = (whole.toString('base64').match(/.{1,64}/g) ?? []).join('\n');
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${pem}\n-----END CERTIFICATE-----\n`,
    key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    pin: createHash('sha256').update(spki).digest('base64'),
    name,
    privateKey,
  };
}

/** An authority, and a server certificate by it for `localhost` and 127.0.0.1. */
export function makeServer(): { authority: Certificate; server: Certificate } {
  const authority = makeCertificate({ name: 'Test Authority', isAuthority: true });
  const hosts = ['localhost', '127.0.0.1'];
  return { authority, server: makeCertificate({ name: 'server', issuer: authority, hosts }) };
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const bytes = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}

const prefixed = (byte: number, content: Buffer) => Buffer.concat([Buffer.from([byte]), content]);
const sequence = (parts: readonly Buffer[]) => der(0x30, Buffer.concat(parts));
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'));
const ecdsaWithSha256 = sequence([oid('2a8648ce3d040302')]);

/** With a common name and nothing else. */
const distinguishedName = (name: string) =>
  sequence([der(0x31, sequence([oid('550403'), der(0x0c, Buffer.from(name))]))]);

const extension = (id: string, value: Buffer, critical = false) =>
  sequence([oid(id), ...(critical ? [der(0x01, Buffer.from([0xff]))] : []), der(0x04, value)]);

function hostName(host: string): Buffer {
  const isAddress = /^[\d.]+$/.test(host);
  return isAddress
    ? der(0x87, Buffer.from(host.split('.').map(Number)))
    : der(0x82, Buffer.from(host));
}

function time(days: number): Buffer {
  const iso = new Date(Date.now() + days * 86_400_000).toISOString();
  return der(0x17, Buffer.from(`${iso.replaceAll(/[-:T]/g, '').slice(2, 14)}Z`));
}
