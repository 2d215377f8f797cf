import type { Logger } from '@millrace/shared/runtime/logger';
import { plainAddress } from '../auth/addresses.ts';
import type { Metrics } from './metrics.ts';

/** A client's request or connection that was refused. */
export type Refusal = {
  /** One of a fixed set of reasons. */
  reason: string;
  /** The id of the key, never the key. */
  keyId?: string | undefined;
  address?: string | undefined;
};

/** Milliseconds in which a kind of refusal is logged once, because a refused client often retries at once. */
const logEveryMs = 10_000;

/**
 * Counts every refusal, and logs the first one of a kind, with the number of those since the last log line.
 * Kinds are reasons and keys of the operator, so clients cannot add any.
 */
export function createRefusals(
  metrics: Pick<Metrics, 'refused'>,
  log: Pick<Logger, 'warn'>,
  now: () => number = Date.now,
): (refusal: Refusal) => void {
  const kinds = new Map<string, { at: number; unlogged: number }>();
  return ({ reason, keyId, address }) => {
    metrics.refused(reason, keyId);
    const kind = `${reason} ${keyId ?? ''}`;
    const last = kinds.get(kind) ?? { at: -Infinity, unlogged: 0 };
    if (now() - last.at < logEveryMs) {
      last.unlogged += 1;
      return;
    }
    log.warn(
      { reason, key: keyId, address: plainAddress(address), before: last.unlogged },
      'a request was refused',
    );
    kinds.set(kind, { at: now(), unlogged: 0 });
  };
}
