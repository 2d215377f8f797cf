import type { Priority, QueueStanding } from '@millrace/shared/domain/request';
import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';
import { judgeQueue } from './queue-verdict.ts';
import type { QueueVerdict, QueueLimits } from './queue-verdict.ts';
import type { OverloadVerdict, OverloadCause } from './overload.ts';
import type { LoadMeter } from './load-meter.ts';
import type { MemoryMeter } from './memory-meter.ts';
import type { OverloadMonitor } from './overload-monitor.ts';
import type { PriorityPolicy } from './priority.ts';

export type AdmissionRequest = {
  keyId: string | undefined;
  model: string;
  /** As requested; undefined: the priority of the key. */
  priority: Priority | undefined;
  /** Bytes of the body. */
  bytes: number;
  /** The request is a job without a client connection: only its own deadline bounds its wait. */
  isBackground: boolean;
  /** Milliseconds since the epoch. */
  deadlineAt: number | undefined;
};

/** Decides whether a request may enter the queue. A rejection says why, and when to try again. */
export type AdmissionController = {
  /** Refuses while this process is overloaded. Called before a request's body is read. */
  checkOverload(): Refused | undefined;
  /** Makes no round trip and counts nothing; the quota of the key is checked afterwards. */
  admit(request: AdmissionRequest): Admitted | Refused;
  /** From now on the request counts as waiting. */
  track(standing: QueueStanding): Ticket;
  /** Refuses while Redis is above its soft memory limit. */
  checkMemory(): Promise<Refused | undefined>;
};

export type Admitted = { kind: 'admitted'; standing: QueueStanding };

/** Reports to the controller what happens to an admitted request. */
export type Ticket = {
  /** The request is sent to Redis; from now on a worker may have it. */
  sending(): void;
  /** Redis has the request; its job waits, or a worker has it. */
  created(isWaiting: boolean): void;
  /** No request was created: the Idempotency-Key belongs to another one, or Redis refused it. */
  withdrawn(): void;
};

export type AdmissionDeps = {
  priorityPolicy: PriorityPolicy;
  meter: Pick<LoadMeter, 'read' | 'add'>;
  memory: MemoryMeter;
  overloadMonitor: Pick<OverloadMonitor, 'judge'>;
  limits: QueueLimits;
  /** Requests per second that the targets of a model allow (`createTargetRates`). */
  targetRate(model: string): number | undefined;
  onSending(): void;
  onAdmitted(): void;
  onShed(reason: string): void;
  now?(): number;
};

export function createAdmissionController(deps: AdmissionDeps): AdmissionController {
  const {
    priorityPolicy,
    meter,
    memory,
    overloadMonitor,
    limits,
    targetRate,
    onSending,
    onAdmitted,
    onShed,
    now = Date.now,
  } = deps;

  function checkOverload(): Refused | undefined {
    const verdict = overloadMonitor.judge();
    if (verdict.kind === 'admitted') return undefined;
    onShed(`ingress_${verdict.reason}`);
    return overloaded(verdict);
  }

  return {
    checkOverload,

    admit({ keyId, model, priority, bytes, isBackground, deadlineAt }) {
      const overload = checkOverload();
      if (overload) return overload;
      const resolved = priorityPolicy.resolve(keyId, priority);
      if (resolved.kind === 'too_high') {
        return refuse('priority_not_allowed', { highest: resolved.highest });
      }
      const standing = { ...resolved.scheduling, key: keyId ?? '', bytes };
      const load = meter.read();
      // The load is unknown until the queue has been read once; Redis then decides by its own limits.
      if (load) {
        const asked = {
          standing,
          model,
          targetRate: targetRate(model),
          isBackground,
          deadlineAt,
          shared: priorityPolicy.shared,
        };
        const verdict = judgeQueue(load, limits, asked, now());
        if (verdict.kind === 'shed') {
          onShed(verdict.reason);
          return refuseShed(verdict);
        }
      }
      return { kind: 'admitted', standing };
    },

    track(standing) {
      const counted = meter.add(standing);
      return {
        sending: onSending,
        created(isWaiting) {
          counted.placed(isWaiting);
          onAdmitted();
        },
        withdrawn: counted.remove,
      };
    },

    async checkMemory() {
      const room = memory.hasRoom();
      if (room === true || (await room)) return undefined;
      onShed('memory');
      return refuse('queue_full', { reason: 'memory' });
    },
  };
}

const overloaded = ({ reason, retryAfterMs }: Extract<OverloadVerdict, { kind: 'shed' }>) =>
  refuse('ingress_overloaded', {
    cause: overloadMessages[reason],
    retryAfter: Math.ceil(retryAfterMs / 1000),
  });

/** Causes of overload as texts, for clients and for `/readyz`. */
export const overloadMessages: Readonly<Record<OverloadCause, string>> = {
  loop_delay: 'its event loop is late',
  heap: 'its heap is nearly full',
  resident_memory: 'its memory is nearly full',
};

function refuseShed(verdict: Extract<QueueVerdict, { kind: 'shed' }>): Refused {
  const { reason, own, retryAfterMs, expectedWaitMs } = verdict;
  const details = {
    own,
    retryAfterMs,
    expectedWaitMs,
    retryAfter: Math.ceil(retryAfterMs / 1000),
    // The key's own requests are the cause, so the client should send fewer.
    ...(own ? { status: 429, type: 'rate_limit_error' } : {}),
  };
  switch (reason) {
    case 'jobs':
    case 'bytes':
      return refuse('queue_full', { reason, ...details });
    case 'share':
      return refuse('queue_share_exceeded', details);
    case 'wait':
      return refuse('queue_wait_too_long', details);
    case 'deadline':
      return refuse('deadline_unreachable', details);
  }
}
