import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import type { TlsConfig } from '@millrace/shared/config';

/**
 * Reads the PEM files of a provider's TLS settings, once, at the start. A string is an error message for the
 * operator; `path` names the settings (`providers.openai.tls`). Never reveals a key.
 */
export function readTls(config: TlsConfig, path: string): SecureContext | string {
  const { ca, cert, key, minVersion } = config;
  const texts: { ca?: string; cert?: string; key?: string } = {};
  for (const [name, file] of Object.entries({ ca, cert, key })) {
    if (file === undefined) continue;
    try {
      texts[name as 'ca'] = readFileSync(file, 'utf8');
    } catch (error) {
      const { code = 'unknown' } = error as NodeJS.ErrnoException;
      return `${path}.${name}: cannot read ${file} (${code})`;
    }
    const text = texts[name as 'ca'] ?? '';
    if (name !== 'key' && !isCertificates(text)) {
      return `${path}.${name}: expected certificates in PEM form, found something else in ${file}`;
    }
  }
  try {
    return createSecureContext({ ...texts, minVersion: `TLSv${minVersion}` });
  } catch (error) {
    const { code = 'unreadable' } = error as NodeJS.ErrnoException;
    const expected = 'expected a private key in PEM form without a password, and its certificate';
    return `${path}: ${expected}; OpenSSL says ${code} to ${key ?? cert ?? ca ?? 'them'}`;
  }
}

function isCertificates(text: string): boolean {
  const blocks = text.match(/-----BEGIN [\s\S]+?-----END [A-Z0-9 ]+-----/g) ?? [];
  try {
    return blocks.map((block) => new X509Certificate(block)).length > 0;
  } catch {
    return false;
  }
}
