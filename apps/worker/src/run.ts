import { randomUUID } from 'node:crypto';
import { decodeEntry, encodeEntry, logStart } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import type { StreamLog } from '@millrace/shared/log/port';
import type { Activation, ActivationOutcome } from '@millrace/shared/queue/port';
import { createAnswer } from './answer.ts';
import type { Appender } from './append.ts';
import type { Attempt } from './attempt.ts';
import { next, noHistory, remember } from './failover/next.ts';
import type { History } from './failover/next.ts';
import type { AnswerSink } from './provider/port.ts';

/** Why a run was told to stop. */
export type StopReason =
  /** The request got its terminal entry from outside. */
  | 'finished'
  /** Another run has the log. */
  | 'fenced'
  /** The log came to the end of its life. */
  | 'gone'
  /** BullMQ's lock could not be renewed. */
  | 'lock_lost'
  /** The worker shuts down: somebody else shall go on. */
  | 'shutdown';

export type RunDeps = {
  log: StreamLog;
  appender: Appender;
  worker: string;
  /** How long a request whose ingress is gone may still wait for another reader, in milliseconds. */
  ownerGraceMs: number;
  /** Starts the upstream call of an attempt. */
  call(options: CallOptions): Attempt;
  /** Makes the run reachable for a stop, until the returned function is called. */
  register(activation: Activation, stop: (reason: StopReason) => void): () => void;
  now(): number;
};

export type CallOptions = {
  activation: Activation;
  target: Target;
  body: string;
  sink: AnswerSink;
  signal: AbortSignal;
};

/** One activation of a job: takes the log over, makes attempts until there is an answer, and ends it. */
export async function run(activation: Activation, deps: RunDeps): Promise<ActivationOutcome> {
  const { log, worker, now } = deps;
  const nonce = randomUUID();
  const sealed = await log.seal(activation.id, { activation: activation.number, nonce, worker });
  if (sealed.kind === 'ended') return { kind: 'completed', summary: 'had ended already' };
  if (sealed.kind === 'fenced') return { kind: 'dropped' };
  if (sealed.kind === 'gone') return { kind: 'failed', reason: 'the request expired' };

  if (isOrphan(activation, sealed.liveReaders, deps)) {
    const line = encodeEntry({
      kind: 'cancelled',
      data: { reason: 'no reader is left', at: now() },
    });
    await log.finish(activation.id, line, 'cancelled');
    return { kind: 'completed', summary: 'cancelled' };
  }

  const controller = new AbortController();
  let stopped: StopReason | undefined;
  let attempt: Attempt | undefined;
  const stop = (reason: StopReason) => {
    stopped ??= reason;
    controller.abort(reason);
  };
  const writer = deps.appender.open({
    id: activation.id,
    run: sealed.run,
    nonce,
    prev: sealed.last,
    onRefused: (outcome) => stop(outcome === 'ended' ? 'finished' : outcome),
    onPressure: (high) => (high ? attempt?.pause() : attempt?.resume()),
  });
  const onLockLost = () => stop('lock_lost');
  activation.lockLost.addEventListener('abort', onLockLost, { once: true });
  const unregister = deps.register(activation, stop);

  try {
    const history = await readHistory(log, activation.id, sealed.last);
    const answer = createAnswer({ run: sealed.run, history, writer, now });
    for (let fault: Fault | undefined; !stopped;) {
      const step = next({ ...activation.data, history: answer.history, fault, now: now() });
      if (step.kind === 'fail') {
        answer.fail(step);
        break;
      }
      const sink = answer.start(step);
      const { target } = step;
      attempt = deps.call({
        activation,
        target,
        body: sealed.body,
        sink,
        signal: controller.signal,
      });
      const outcome = await attempt.outcome;
      if (outcome.kind === 'aborted') break;
      answer.ended(outcome, attempt.firstTokenAt);
      if (outcome.kind === 'completed') break;
      fault = outcome.fault;
    }
    await writer.flushed();
    return conclude(stopped, answer.conclusion);
  } finally {
    unregister();
    activation.lockLost.removeEventListener('abort', onLockLost);
  }
}

/** What the queue is told. A stop counts only where the answer had not ended before it. */
function conclude(
  stopped: StopReason | undefined,
  conclusion: ActivationOutcome | undefined,
): ActivationOutcome {
  if (stopped === 'fenced' || stopped === 'lock_lost') return { kind: 'dropped' };
  if (stopped === 'finished') return { kind: 'completed', summary: 'ended from outside' };
  if (conclusion) return conclusion;
  if (stopped === 'gone') return { kind: 'failed', reason: 'the request expired' };
  return { kind: 'handed_back' };
}

/** Nobody reads it, its ingress is gone, and it was not asked to run on. */
const isOrphan = ({ data }: Activation, liveReaders: number, deps: RunDeps): boolean =>
  data.attached && liveReaders === 0 && deps.now() - data.createdAt > deps.ownerGraceMs;

/** Packs of one read of the log. */
const readPacks = 256;

async function readHistory(log: StreamLog, id: string, last: EntryId): Promise<History> {
  let history = noHistory;
  if (last.run === 0 && last.seq === 0) return history;
  for (let after = logStart, more = true; more;) {
    const read = await log.read(id, after, readPacks);
    if (!read) break;
    for (const line of read.lines) history = remember(history, decodeEntry(line.text));
    const newest = read.lines.at(-1);
    if (newest) after = newest;
    more = read.more && newest !== undefined;
  }
  return history;
}
