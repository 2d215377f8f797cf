import type { Activation, ActivationOutcome } from '@millrace/shared/store/queue/port';
import { expect, it } from 'vitest';
import { logRuns } from './run-logging.ts';

const activation = { id: 'r', number: 1, data: { model: 'm' } } as Activation;

/** The lines of a run with this outcome, each with its level. */
async function linesOf(outcome: ActivationOutcome): Promise<Record<string, unknown>[]> {
  const lines: Record<string, unknown>[] = [];
  const at = (level: string) => (fields: object, msg: string) =>
    void lines.push({ level, msg, ...fields });
  const log = { debug: at('debug'), info: at('info'), warn: at('warn') };
  await logRuns({ log: log as never, prices: () => () => null }, async () => outcome)(activation);
  return lines;
}

it("the provider's message, which may repeat the request, is logged at debug only", async () => {
  const reason = 'upstream_rejected: I cannot read: the words of the prompt';
  expect(await linesOf({ kind: 'failed', code: 'upstream_rejected', reason })).toMatchObject([
    { level: 'warn', msg: 'run', id: 'r', outcome: 'failed', reason: 'upstream_rejected' },
    { level: 'debug', msg: 'run failed', id: 'r', run: 1, reason },
  ]);
});

it('a reason of Millrace itself is in the line of the run', async () => {
  const reason = 'the request expired';
  expect(await linesOf({ kind: 'failed', reason })).toMatchObject([
    { level: 'warn', msg: 'run', outcome: 'failed', reason },
  ]);
});
