import { requestedModelOf } from '@millrace/shared/domain/request';
import type { RunView } from '@millrace/shared/domain/inquiry';
import type { Activation } from '@millrace/shared/store/queue/port';
import type { History } from '../continuation/history.ts';

/**
 * What operators see of a run. `history`: undefined until the run has taken its log over. `startedAt`: of the run. `waits`: why it
 * waits for a target, if it does.
 */
export function viewRun(
  { id, data }: Activation,
  run: { history: History | undefined; startedAt: number; waits(): string | undefined },
): RunView {
  const { history, startedAt } = run;
  const { endpoint, stream, createdAt, standing, account, deadlineAt } = data;
  const current = history?.attempts.findLast(({ outcome }) => outcome === 'open');
  return {
    id,
    model: requestedModelOf(data),
    key: account?.keyId ?? (standing?.key || undefined),
    api: endpoint,
    stream,
    createdAt,
    startedAt: history?.startedAt ?? startedAt,
    target: current && { provider: current.provider, model: current.model },
    mode: current?.mode,
    waits: run.waits(),
    class: standing?.priority,
    deadlineAt,
    attempts: history?.attempts.length ?? 0,
    rescues: history?.rescues ?? 0,
    firstTextAt: history?.times.firstAt,
    lastTextAt: history?.times.newestAt,
    outputTokens: Math.round(history?.delivered.tokens ?? 0),
  };
}
