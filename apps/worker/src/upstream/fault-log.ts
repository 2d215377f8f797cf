import { faultTable } from '@millrace/shared/domain/fault';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import { targetKey } from '@millrace/shared/domain/target-key';
import { plainCode } from '@millrace/shared/runtime/log-redaction';
import type { Logger } from '@millrace/shared/runtime/logger';

export type FaultLogOptions = {
  logger: Pick<Logger, 'error' | 'warn' | 'debug'>;
  now(): number;
};

/** A call to a provider that failed. */
export type FailedCall = { request: string; target: Target; keeper: Target; fault: Fault };

/** Milliseconds within which further equal faults of a target are only counted. */
const quietMs = 10_000;

/**
 * Logs the faults of upstream calls: those that the operator must fix as errors, those that concern a target's health as
 * warnings. The provider's message, which may repeat the request, is in a line at `debug` of its own. A target that fails on every
 * request logs one line in ten seconds for each kind of fault. Memory is bounded: one entry for each `keeper` (the target that keeps the
 * state of this one, as wildcard-targets.ts has it) and each fault code.
 */
export function createFaultLog({ logger, now }: FaultLogOptions) {
  const seen = new Map<string, { at: number; more: number }>();

  return ({ request, target, keeper, fault }: FailedCall): void => {
    const { code, message, detail = message, isEcho, httpStatus, error } = fault;
    const { party, health } = faultTable[code];
    const level = party === 'operator' ? 'error' : health ? 'warn' : undefined;
    if (!level || isEcho) return;
    const key = `${code} ${targetKey(keeper)}`;
    const last = seen.get(key);
    if (last && now() - last.at < quietMs) {
      last.more += 1;
      return;
    }
    seen.set(key, { at: now(), more: 0 });
    const { provider, model } = target;
    const call = { request, provider, model, code };
    const repeated = last?.more ? { repeated: last.more } : {};
    // Without a status and an error of the provider the text is ours.
    if (httpStatus === undefined && error === undefined) {
      logger[level]({ ...call, reason: detail, ...repeated }, said[level]);
      return;
    }
    const answer = { status: httpStatus, provider_code: plainCode(error?.code) };
    logger[level]({ ...call, ...answer, ...repeated }, said[level]);
    logger.debug({ ...call, reason: detail }, 'the message of a provider');
  };
}

const said = {
  error: 'a provider refuses what this config says of it',
  warn: 'a call to a provider failed',
};
