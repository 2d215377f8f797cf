import { readFileSync } from 'node:fs';
import type { Config } from '@millrace/shared/config';
import { giveUp } from '@millrace/shared/runtime/lifecycle';

/** The certificate and its key, or undefined if none are configured; ends the process if they cannot be read. */
export function readTls({ tls }: Config['listen']): { cert: string; key: string } | undefined {
  if (!tls) return undefined;
  try {
    return { cert: readFileSync(tls.cert, 'utf8'), key: readFileSync(tls.key, 'utf8') };
  } catch (error) {
    return giveUp(
      `cannot read the TLS files: ${error instanceof Error ? error.message : 'unknown'}`,
    );
  }
}
