import type { Logger } from '@millrace/shared/runtime/logger';
import type { ActivationHandler, ActivationOutcome } from '@millrace/shared/store/queue/port';

/**
 * Logs one line for each run that ended, with the id of its request. This includes jobs, which have no client
 * at their end. The runs after a `handed_back` have lines of their own, with another run number.
 */
export function logRuns(
  log: Pick<Logger, 'debug' | 'info' | 'warn'>,
  handle: ActivationHandler,
): ActivationHandler {
  return async (activation) => {
    const since = performance.now();
    const outcome = await handle(activation);
    const { id, number, data } = activation;
    log[levelOf(outcome)](
      {
        id,
        run: number,
        key: data.account?.keyId ?? data.standing?.key,
        model: data.model,
        ms: Math.round(performance.now() - since),
        outcome: outcome.kind,
        reason: reasonOf(outcome),
      },
      'run',
    );
    return outcome;
  };
}

function reasonOf(outcome: ActivationOutcome): string | undefined {
  if (outcome.kind === 'completed') return outcome.summary;
  return outcome.kind === 'failed' ? outcome.reason : undefined;
}

function levelOf({ kind }: ActivationOutcome): 'debug' | 'info' | 'warn' {
  // The run did nothing, and under load there are many of them.
  if (kind === 'not_yet') return 'debug';
  return kind === 'failed' ? 'warn' : 'info';
}
