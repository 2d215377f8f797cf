import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Config } from '@millrace/shared/config';
import { ok, problem, reasonOf, warning } from './check.ts';
import type { Check } from './check.ts';

const day = 86_400_000;
/** Days before its end at which a certificate is a warning. */
const warnDays = 30;

/** The certificates that the config names: of the listener, and of clients of providers. */
export function checkCertificates({ listen, providers }: Config, now: number): Check[] {
  const checks: Check[] = [];
  if (listen.tls) {
    checks.push(checkFile('certificate of listen.tls', listen.tls.cert, now, listen.tls.key));
  }
  for (const [name, { tls }] of Object.entries(providers)) {
    const of = `of providers.${name}.tls`;
    if (tls.cert) checks.push(checkFile(`certificate ${of}`, tls.cert, now, tls.key));
    if (tls.ca) checks.push(checkFile(`authority ${of}`, tls.ca, now));
  }
  return checks;
}

function checkFile(name: string, file: string, now: number, keyFile?: string): Check {
  let certificate: X509Certificate;
  try {
    // Of a chain, the first one is the server's own.
    certificate = new X509Certificate(readFileSync(file));
  } catch (error) {
    return problem(
      name,
      `${file} cannot be read: ${reasonOf(error)}`,
      'Correct the path or the PEM file.',
    );
  }
  if (keyFile !== undefined) {
    try {
      if (!certificate.checkPrivateKey(createPrivateKey(readFileSync(keyFile)))) {
        const advice = 'Name the key that belongs to the certificate.';
        return problem(name, `${keyFile} is the key of another certificate`, advice);
      }
    } catch (error) {
      const advice = 'Correct the path or the PEM file; the key must have no password.';
      return problem(name, `${keyFile} cannot be read: ${reasonOf(error)}`, advice);
    }
  }
  return judgeExpiry(name, { from: certificate.validFrom, to: certificate.validTo }, now);
}

/** By the texts of a certificate, such as `Nov 30 18:00:00 2026 GMT`. */
export function judgeExpiry(
  name: string,
  { from, to }: { from: string; to: string },
  now: number,
): Check {
  const [startsAt, endsAt] = [Date.parse(from), Date.parse(to)];
  const date = new Date(endsAt).toISOString().slice(0, 10);
  if (now < startsAt) {
    return problem(name, `not valid before ${from}`, 'Correct the clock, or wait.');
  }
  if (now >= endsAt) return problem(name, `expired on ${date}`, 'Renew it.');
  const days = Math.floor((endsAt - now) / day);
  const found = `valid until ${date} (${days === 1 ? '1 day' : `${days} days`})`;
  return days < warnDays ? warning(name, found, 'Renew it.') : ok(name, found);
}
