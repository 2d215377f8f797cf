import { decodeEntry, isTerminalLine, logStart } from '@millrace/shared/domain/entry';
import type { EntryId, Line } from '@millrace/shared/domain/entry';
import type { RequestMeta } from '@millrace/shared/domain/request';
import type { Caller, Described } from '@millrace/shared/store/stream-log/port';
import { handOver, movedEvent } from '../../server/hand-over.ts';
import { socketEvent, toJobEvent } from '../../delivery/encode.ts';
import { createReadScheduler } from '../../delivery/read-scheduler.ts';
import type { ScheduledRead } from '../../delivery/read-scheduler.ts';
import { readerLife } from '../../delivery/reader-life.ts';
import type { Reader, ReaderSink } from '../../delivery/relay.ts';
import type { SocketWriter } from '../../delivery/socket-writer.ts';
import type { PositionWatch } from '../../delivery/queue-position.ts';
import type { Services } from '../../services.ts';
import { within } from '../../exchange/timeout.ts';
import { clientLeft } from '../../exchange/charged.ts';
import { startOf } from '../jobs/cursor.ts';
import { apiError, goneError } from '../../errors.ts';
import { resetEvent } from '../jobs/events.ts';
import { logSocketRequest } from '../../observe/request-log.ts';
import type { RequestOutcome } from '../../observe/request-log.ts';
import { errorFrame } from './frames.ts';

/** Requests that one socket may have open, created or subscribed. */
export const maxPerSocket = 1000;

/** A request on this socket. `owned`: created by it and not detached, so that it ends with the socket. */
type OpenRequest = {
  meta: RequestMeta;
  frame: 'create' | 'subscribe';
  /** When it was opened here, by `performance.now()`. */
  since: number;
  /** Attempts that this socket was sent. */
  attempts: number;
  reader: Reader;
  scheduled: ScheduledRead;
  /** Its reader is paused until the frames that were held back have been sent. */
  isHeldBack?: boolean;
  owned: boolean;
  callers: Caller[];
  /** While the request waits in the queue. */
  positionWatch?: PositionWatch;
};

/** `caller`: of the Idempotency-Key with which this socket asked for it. */
type Owner = Pick<OpenRequest, 'owned' | 'frame'> & { caller?: Caller | undefined };

type Send = (text: string) => boolean;

/** The open requests of one socket, and their readers. */
export type SocketRequests = ReturnType<typeof createSocketRequests>;

export function createSocketRequests(
  services: Pick<
    Services,
    | 'config'
    | 'submitter'
    | 'relay'
    | 'keyLimits'
    | 'metrics'
    | 'queuePositions'
    | 'logger'
    | 'onError'
  >,
  { send, hasRoom }: Pick<SocketWriter, 'send' | 'hasRoom'>,
  /** Called when no request is open any more. */
  onUnused: () => void,
) {
  const { config, relay, keyLimits, queuePositions, logger } = services;
  const open = new Map<string, OpenRequest>();
  const scheduler = createReadScheduler(hasRoom);

  /** Opens a reader from a cursor on. */
  function read(meta: RequestMeta, after: EntryId, owner: Owner): void {
    const scheduled = addToScheduler(meta.id);
    scheduled.opening();
    add(
      meta,
      scheduled,
      relay.open(meta.id, after, sinkOf(meta, scheduled, send), lifeOf(meta)),
      owner,
    );
  }

  /** Opens a reader of a request that is about to be made; its events go to `sendEvent`. */
  function readFresh(
    meta: RequestMeta,
    owner: { owned: boolean; caller?: Caller | undefined },
    sendEvent: Send,
  ): void {
    const scheduled = addToScheduler(meta.id);
    const reader = relay.openFresh(meta.id, sinkOf(meta, scheduled, sendEvent), lifeOf(meta));
    add(meta, scheduled, reader, { frame: 'create', ...owner });
  }

  const lifeOf = (meta: RequestMeta) => readerLife(meta, config);
  const addToScheduler = (id: string) => scheduler.add(() => open.get(id)?.reader.resume());

  function add(
    meta: RequestMeta,
    scheduled: ScheduledRead,
    reader: Reader,
    { owned, caller, frame }: Owner,
  ): void {
    const callers = caller ? [caller] : [];
    const since = performance.now();
    open.set(meta.id, { meta, frame, since, attempts: 0, reader, scheduled, owned, callers });
  }

  function logEnd(
    one: OpenRequest | undefined,
    outcome: RequestOutcome,
    code?: string | null,
  ): void {
    if (!one) return;
    const { meta, frame, since, attempts } = one;
    const ms = Math.round(performance.now() - since);
    const about = { id: meta.id, frame, key: meta.keyId, model: meta.model };
    logSocketRequest(logger, { ...about, ms, outcome, code, attempts });
  }

  function sinkOf(meta: RequestMeta, scheduled: ScheduledRead, sendEvent: Send): ReaderSink {
    return {
      hasRoom: scheduled.hasRoom,
      lines(batch: readonly Line[]) {
        open.get(meta.id)?.positionWatch?.stop();
        // Before the client sees the end: its next request may follow at once.
        if (isTerminalLine(batch.at(-1)?.text ?? '')) keyLimits.ended(meta);
        let isHeldBack = false;
        for (const line of batch) {
          const event = toJobEvent(line, meta.includeUsage);
          // A full socket says so in `hasRoom`.
          if (event) isHeldBack = !sendEvent(socketEvent(meta.id, event)) && hasRoom();
          if (event?.event === 'attempt') noteAttempt(meta.id);
          if (isTerminalLine(line.text)) {
            const { outcome, code } = endOf(line);
            logEnd(open.get(meta.id), outcome, code);
            forget(meta.id);
          }
        }
        const one = open.get(meta.id);
        if (one) one.isHeldBack = isHeldBack;
        return !isHeldBack;
      },
      reset(reason: string) {
        sendEvent(socketEvent(meta.id, resetEvent(reason)));
      },
      gone(reason) {
        if (reason === 'expired') keyLimits.ended(meta);
        else keyLimits.readerLeft(meta.id);
        const one = open.get(meta.id);
        const { error } = goneError(reason);
        sendEvent(errorFrame({ id: meta.id }, error));
        logEnd(one, 'failed', error.code);
        forget(meta.id);
        if (one && reason === 'overdue') leave(one, 'its time was over');
      },
    };
  }

  function noteAttempt(id: string): void {
    const one = open.get(id);
    if (one) one.attempts += 1;
  }

  function forget(id: string): void {
    const one = open.get(id);
    one?.positionWatch?.stop();
    one?.scheduled.remove();
    open.delete(id);
    if (open.size === 0) onUnused();
  }

  /** Closes all readers, and returns what was open. */
  function closeAll(): OpenRequest[] {
    const all = [...open.values()];
    for (const one of all) {
      one.reader.close();
      one.scheduled.remove();
      one.positionWatch?.stop();
    }
    open.clear();
    return all;
  }

  function leave({ meta, owned, callers }: OpenRequest, reason: string): void {
    if (!owned) return;
    if (callers.length === 0) clientLeft(services, meta, reason, undefined);
    for (const caller of callers) clientLeft(services, meta, reason, caller);
  }

  return {
    readFresh,

    get size() {
      return open.size;
    },

    get hasRoom() {
      return open.size < maxPerSocket;
    },

    /** Reads from a cursor on. Throws an ApiError if the socket reads the request already, or has no room. */
    subscribe(described: Described, after: EntryId): void {
      const { meta } = described;
      if (open.has(meta.id)) {
        throw apiError('invalid_request', {
          message: `This socket reads '${meta.id}' already.`,
          param: 'id',
        });
      }
      if (open.size >= maxPerSocket) throw noRoom();
      const start = startOf(described, after);
      if (start.kind === 'ahead') {
        send(socketEvent(meta.id, resetEvent('cursor_ahead')));
        read(meta, logStart, { frame: 'subscribe', owned: false });
        return;
      }
      // A reader that has the terminal entry gets it again: every subscription has an end.
      const cursor = start.kind === 'finished' ? start.before : start.after;
      read(meta, cursor, { frame: 'subscribe', owned: false });
    },

    /** A `create` whose Idempotency-Key stands for an existing request. */
    attach({ meta }: Described, caller: Caller | undefined, owned: boolean): void {
      const own = open.get(meta.id);
      if (!own) {
        read(meta, logStart, { frame: 'create', owned, caller });
        return;
      }
      // This socket reads it already, and gets no event twice.
      own.owned ||= owned;
      if (caller && owned) own.callers.push(caller);
    },

    /**
     * Sends the queue position of a request, now and when it changes. Resolves after the first report, or
     * when Redis does not answer in time.
     */
    async reportPosition(id: string): Promise<void> {
      const one = open.get(id);
      if (!one) return;
      one.positionWatch?.stop();
      // A full socket gets no report; the next change brings one.
      one.positionWatch = queuePositions.watch(
        id,
        (event) => hasRoom() && send(socketEvent(id, event)),
      );
      await within(one.positionWatch.reported).catch(() => {});
    },

    /** The frames that were held back have been sent. */
    resume(id: string): void {
      const one = open.get(id);
      if (one?.isHeldBack) one.scheduled.queue();
    },

    /** The socket has room again: its readers read on. */
    resumeAll: scheduler.schedule,

    /** Stops reading a request without an event; false if the socket did not read it. */
    drop(id: string, reason?: string): boolean {
      const one = open.get(id);
      if (!one) return false;
      one.reader.close();
      forget(id);
      if (reason !== undefined) {
        logEnd(one, 'left');
        leave(one, reason);
      }
      return true;
    },

    endAll(reason: string): void {
      for (const one of closeAll()) {
        logEnd(one, 'left');
        leave(one, reason);
      }
    },

    /**
     * For a drain: the requests run on without this ingress, and the client gets for each of them where to
     * read on. Resolves when Redis has it, or does not answer in time.
     */
    async handOverAll(): Promise<void> {
      await Promise.all(
        [...open.values()].map(async ({ meta, owned, callers }) => {
          const own = { id: meta.id, attached: owned && meta.attached };
          const [first, ...others] = callers;
          await Promise.all([
            handOver(services, own, first),
            ...others.map((caller) => handOver(services, own, caller)),
          ]);
        }),
      );
      // Requests that ended meanwhile are not open any more.
      for (const one of closeAll()) {
        const { id } = one.meta;
        logEnd(one, 'handed_over', 'server_draining');
        send(socketEvent(id, movedEvent(id)));
      }
    },
  };
}

export const noRoom = () => apiError('too_many_requests_on_socket', { max: maxPerSocket });

/** The outcome in a terminal line, for the process log. */
function endOf(line: Line): { outcome: RequestOutcome; code?: string | null } {
  const entry = decodeEntry(line.text);
  if (entry.kind === 'done') return { outcome: 'completed' };
  if (entry.kind === 'failed') return { outcome: 'failed', code: entry.data.error.code };
  return { outcome: 'cancelled' };
}
