import { requestedModelOf } from '@millrace/shared/domain/request';
import type { Logger } from '@millrace/shared/runtime/logger';
import { addAttempt, noUsage, usageFields } from '@millrace/shared/cost/usage-totals';
import type { Prices } from '@millrace/shared/cost/prices';
import { targetKey } from '@millrace/shared/domain/target-key';
import type { Activation, ActivationOutcome } from '@millrace/shared/store/queue/port';
import { endedAttempts } from './report.ts';
import type { RunReport } from './report.ts';

export type RunLogOptions = {
  log: Pick<Logger, 'debug' | 'info' | 'warn'>;
  prices(): Prices;
};

/** Runs an activation; `onEnded` gets its report. */
type Handler = (
  activation: Activation,
  onEnded: (report: RunReport) => void,
) => Promise<ActivationOutcome>;

/**
 * Logs one line for each run that ended, with the id of its request, the target that answered last, and the tokens and cost
 * of the attempts that ended with it. This includes jobs, which have no client at their end. The runs after a `handed_back`
 * have lines of their own, with another run number.
 */
export function logRuns({ log, prices }: RunLogOptions, handle: Handler) {
  return async (activation: Activation): Promise<ActivationOutcome> => {
    const since = performance.now();
    let report: RunReport | undefined;
    const outcome = await handle(activation, (ended) => (report = ended));
    const { id, number, data } = activation;
    log[levelOf(outcome)](
      {
        id,
        run: number,
        key: data.account?.keyId ?? data.standing?.key,
        model: requestedModelOf(data),
        ms: Math.round(performance.now() - since),
        outcome: outcome.kind,
        reason: reasonOf(outcome),
        ...(report && attemptFields(report, prices())),
      },
      'run',
    );
    if (outcome.kind === 'failed' && outcome.code !== undefined) {
      log.debug({ id, run: number, reason: outcome.reason }, 'run failed');
    }
    return outcome;
  };
}

/** Nothing for a run that made no attempt. */
function attemptFields(report: RunReport, prices: Prices) {
  const attempts = endedAttempts(report);
  const last = attempts.findLast(({ ended }) => ended.outcome === 'completed') ?? attempts.at(-1);
  if (!last) return {};
  const totals = noUsage();
  for (const { started, ended } of attempts) {
    addAttempt(totals, { ...started, usage: ended.usage }, prices);
  }
  const firstAt = report.history?.times.firstAt;
  const { createdAt } = report.activation.data;
  return {
    attempts: report.history?.attempts.length,
    served_by: targetKey(last.started),
    first_token_ms: firstAt === undefined ? undefined : Math.max(0, firstAt - createdAt),
    ...usageFields(totals),
  };
}

/** Without the provider's message, which may repeat the request. */
function reasonOf(outcome: ActivationOutcome): string | undefined {
  if (outcome.kind === 'completed') return outcome.summary;
  return outcome.kind === 'failed' ? (outcome.code ?? outcome.reason) : undefined;
}

function levelOf({ kind }: ActivationOutcome): 'debug' | 'info' | 'warn' {
  // The run did nothing, and under load there are many of them.
  if (kind === 'not_yet') return 'debug';
  return kind === 'failed' ? 'warn' : 'info';
}
