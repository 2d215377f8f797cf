import type { Priority, QueueStanding } from '@millrace/shared/domain/request';
import { ApiError, forbidden, unavailable } from '../errors.ts';
import { admit } from './queue-verdict.ts';
import type { Admission, QueueLimits } from './queue-verdict.ts';
import type { OwnVerdict, StrainKind } from './overload.ts';
import type { LoadMeter } from './load-meter.ts';
import type { MemoryMeter } from './memory-meter.ts';
import type { OwnLoad } from './overload-monitor.ts';
import type { Ranks } from './priority.ts';

export type Visitor = {
  keyId: string | undefined;
  model: string;
  /** As asked for; absent: the key's own. */
  priority: Priority | undefined;
  bytes: number;
  patient: boolean;
  deadlineAt: number | undefined;
};

/** Where a request comes into the queue, or is told at once why not and when to come back. */
export type Door = {
  /** Throws an ApiError when this ingress itself takes no new work: asked before anything is read of it. */
  checkSelf(): void;
  /** Throws an ApiError. No round trip. Nothing is counted yet: its key may have no more to spend. */
  enter(visitor: Visitor): QueueStanding;
  /** It is on its way into the queue, and counts as one that waits there. */
  pass(standing: QueueStanding): Passage;
  /** Throws an ApiError when Redis is above its soft memory limit. */
  checkMemory(): Promise<void>;
};

/** How the way of a request into the queue ends. */
export type Passage = {
  /** Redis has it in a moment: from then on the death of its worker matters, though its answer be late. */
  sending(): void;
  arrived(): void;
  /** It is not made: there is one already, or it could not be queued. */
  turnedBack(): void;
};

export type DoorDeps = {
  ranks: Ranks;
  meter: Pick<LoadMeter, 'read' | 'add'>;
  memory: MemoryMeter;
  ownLoad: Pick<OwnLoad, 'judge'>;
  limits: QueueLimits;
  onSending(): void;
  onAdmitted(): void;
  /** With the reason. */
  onShed(reason: string): void;
  now?(): number;
};

export function createDoor(deps: DoorDeps): Door {
  const {
    ranks,
    meter,
    memory,
    ownLoad,
    limits,
    onSending,
    onAdmitted,
    onShed,
    now = Date.now,
  } = deps;

  function checkSelf(): void {
    const verdict = ownLoad.judge();
    if (verdict.kind === 'admitted') return;
    onShed(`ingress_${verdict.reason}`);
    throw overloaded(verdict);
  }

  return {
    checkSelf,

    enter({ keyId, model, priority, bytes, patient, deadlineAt }) {
      checkSelf();
      const ranked = ranks.rank(keyId, priority);
      if (ranked.kind === 'too_high') throw tooHigh(ranked.highest);
      const standing = { ...ranked.rank, key: keyId ?? '', bytes };
      const load = meter.read();
      // Before the first look nothing is known, and Redis itself is asked next.
      if (load) {
        const ask = { standing, model, patient, deadlineAt, shared: ranks.shared };
        const verdict = admit(load, limits, ask, now());
        if (verdict.kind === 'shed') {
          onShed(verdict.reason);
          throw refusal(verdict);
        }
      }
      return standing;
    },

    pass: (standing) => ({
      sending: onSending,
      arrived: onAdmitted,
      turnedBack: meter.add(standing),
    }),

    async checkMemory() {
      const room = memory.hasRoom();
      if (room === true || (await room)) return;
      onShed('memory');
      throw unavailable('The queue is out of memory; try again later.', 'queue_full', 5);
    },
  };
}

const tooHigh = (highest: Priority) =>
  forbidden(`This API key may ask for the priority '${highest}' at most.`, 'priority_not_allowed');

const overloaded = ({ reason, retryAfterMs }: Extract<OwnVerdict, { kind: 'shed' }>) =>
  unavailable(
    `This server has more to do than it can: ${strainWords[reason]}. Try again later, or ask another one.`,
    'ingress_overloaded',
    Math.ceil(retryAfterMs / 1000),
  );

/** What presses an ingress, to be told. */
export const strainWords: Readonly<Record<StrainKind, string>> = {
  loop_delay: 'its event loop is late',
  heap: 'its heap is nearly full',
  resident_memory: 'its memory is nearly full',
};

const codes = {
  jobs: 'queue_full',
  bytes: 'queue_full',
  share: 'queue_share_exceeded',
  wait: 'queue_wait_too_long',
  deadline: 'deadline_unreachable',
} as const;

function refusal(verdict: Extract<Admission, { kind: 'shed' }>): ApiError {
  const { reason, own, retryAfterMs, expectedWaitMs } = verdict;
  const retryAfter = String(Math.ceil(retryAfterMs / 1000));
  const expected =
    expectedWaitMs === undefined
      ? ''
      : ` The expected wait is ${(expectedWaitMs / 1000).toFixed(1)} s.`;
  const what = {
    jobs: 'Too many requests wait.',
    bytes: 'The requests that wait hold too many bytes.',
    share: 'Too many requests of this API key wait.',
    wait: own
      ? 'Requests of this API key wait too long already.'
      : 'Requests wait too long already.',
    deadline: 'The request would not start before its deadline.',
  }[reason];
  return new ApiError(
    own ? 429 : 503,
    {
      message: `${what}${expected} Try again in ${retryAfter} s.`,
      type: own ? 'rate_limit_error' : 'server_error',
      param: null,
      code: codes[reason],
    },
    { 'retry-after': retryAfter },
  );
}
