import type { Attempt, RequestView } from '../../api/types.ts';
import { deliveriesInLog } from './deliveries.ts';
import type { Track } from './log-items.ts';

/*
 * Attempts whose worker was lost: the process that died could not record how they ended. Pure.
 */

type Input = Pick<RequestView, 'ended_at' | 'attempts'>;

/** The ledger's outcome of an attempt without a recorded end. */
export const unknownOutcome = 'unknown';

/** No end is recorded, and none will be: its request has ended, or a later run has begun. */
export const isLost = (attempt: Attempt, { ended_at: ended, attempts }: Input): boolean =>
  attempt.ended_at === null && (ended !== null || attempts.some(({ run }) => run > attempt.run));

/**
 * The request with an end for each lost attempt: where the next attempt began, otherwise its last delivery, otherwise the
 * request's end.
 */
export function withLostEnds<T extends Input>(request: T, track: Track | undefined): T {
  const { attempts } = request;
  if (!attempts.some((one) => isLost(one, request))) return request;
  return {
    ...request,
    attempts: attempts.map((attempt, index) => {
      if (!isLost(attempt, request)) return attempt;
      const next = attempts.slice(index + 1).find(({ run }) => run >= attempt.run);
      const end = next?.started_at ?? lastDelivery(attempt, track) ?? request.ended_at;
      return { ...attempt, ended_at: end, outcome: unknownOutcome };
    }),
  };
}

function lastDelivery({ attempt }: Attempt, track: Track | undefined): string | undefined {
  if (!track?.isTimed) return undefined;
  const last = deliveriesInLog(track).findLast((one) => one.attempt === attempt);
  return last && new Date(last.to).toISOString();
}
