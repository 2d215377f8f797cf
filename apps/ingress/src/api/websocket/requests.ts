import { decodeEntry, isTerminalLine, logStart } from '@millrace/shared/domain/entry';
import type { EntryId, Line } from '@millrace/shared/domain/entry';
import type { RequestMeta } from '@millrace/shared/domain/request';
import type { Caller, Described } from '@millrace/shared/store/stream-log/port';
import { handOver, movedEvent } from '../../server/hand-over.ts';
import { socketEvent, toJobEvent } from '../../delivery/encode.ts';
import { createReadTurns } from '../../delivery/read-scheduler.ts';
import type { ReadingTurn } from '../../delivery/read-scheduler.ts';
import { readerLife } from '../../delivery/reader-life.ts';
import type { Reader, ReaderSink } from '../../delivery/relay.ts';
import type { SocketOutbox } from '../../delivery/socket-writer.ts';
import type { Visit } from '../../delivery/queue-position.ts';
import type { Services } from '../../services.ts';
import { within } from '../../exchange/timeout.ts';
import { clientLeft } from '../../exchange/charged.ts';
import { startOf } from '../jobs/cursor.ts';
import { goneError, invalidRequest } from '../../errors.ts';
import { resetEvent } from '../jobs/events.ts';
import { logSocketRequest } from '../../observe/request-log.ts';
import type { RequestOutcome } from '../../observe/request-log.ts';
import { errorFrame } from './frames.ts';

/** Requests that one socket may have open: created or subscribed. */
export const maxPerSocket = 1000;

/** A request on this socket. `owned`: created by it and not detached, so that it ends with it. */
type Open = {
  meta: RequestMeta;
  frame: 'create' | 'subscribe';
  /** When it was opened here, by the process's own clock. */
  since: number;
  /** That this socket was told of. */
  attempts: number;
  reader: Reader;
  turn: ReadingTurn;
  /** It is paused until what was held back of it has been sent. */
  isHeldBack?: boolean;
  owned: boolean;
  callers: Caller[];
  /** While it waits and is told its place. */
  visit?: Visit;
};

/** `caller`: by whose Idempotency-Key it was asked for here. */
type Owner = Pick<Open, 'owned' | 'frame'> & { caller?: Caller | undefined };

type Send = (text: string) => boolean;

/** The requests that are open on one socket, and the readers that bring their events to it. */
export type SocketRequests = ReturnType<typeof createSocketRequests>;

export function createSocketRequests(
  services: Pick<
    Services,
    | 'config'
    | 'submitter'
    | 'relay'
    | 'keyLimits'
    | 'metrics'
    | 'waitingRoom'
    | 'logger'
    | 'onError'
  >,
  { send, hasRoom }: Pick<SocketOutbox, 'send' | 'hasRoom'>,
  /** The last one is over. */
  onUnused: () => void,
) {
  const { config, relay, keyLimits, waitingRoom, logger } = services;
  const open = new Map<string, Open>();
  const turns = createReadTurns(hasRoom);

  /** From a cursor on. `caller`: by whose Idempotency-Key it was asked for here. */
  function read(meta: RequestMeta, after: EntryId, owner: Owner): void {
    const turn = joinTurns(meta.id);
    turn.opening();
    add(meta, turn, relay.open(meta.id, after, sinkOf(meta, turn, send), lifeOf(meta)), owner);
  }

  /** One that is made here in this moment: every event of it goes to `sendEvent`. */
  function readFresh(
    meta: RequestMeta,
    owner: { owned: boolean; caller?: Caller | undefined },
    sendEvent: Send,
  ): void {
    const turn = joinTurns(meta.id);
    const reader = relay.openFresh(meta.id, sinkOf(meta, turn, sendEvent), lifeOf(meta));
    add(meta, turn, reader, { frame: 'create', ...owner });
  }

  const lifeOf = (meta: RequestMeta) => readerLife(meta, config);
  const joinTurns = (id: string) => turns.join(() => open.get(id)?.reader.resume());

  function add(
    meta: RequestMeta,
    turn: ReadingTurn,
    reader: Reader,
    { owned, caller, frame }: Owner,
  ): void {
    const callers = caller ? [caller] : [];
    const since = performance.now();
    open.set(meta.id, { meta, frame, since, attempts: 0, reader, turn, owned, callers });
  }

  function logEnd(one: Open | undefined, outcome: RequestOutcome, code?: string | null): void {
    if (!one) return;
    const { meta, frame, since, attempts } = one;
    const ms = Math.round(performance.now() - since);
    const about = { id: meta.id, frame, key: meta.keyId, model: meta.model };
    logSocketRequest(logger, { ...about, ms, outcome, code, attempts });
  }

  function sinkOf(meta: RequestMeta, turn: ReadingTurn, sendEvent: Send): ReaderSink {
    return {
      hasRoom: turn.hasRoom,
      lines(batch: readonly Line[]) {
        open.get(meta.id)?.visit?.leave();
        // Before its client hears of it: its next request may follow at once.
        if (isTerminalLine(batch.at(-1)?.text ?? '')) keyLimits.ended(meta);
        let isHeldBack = false;
        for (const line of batch) {
          const event = toJobEvent(line, meta.includeUsage);
          // A full socket says so when it is asked for room.
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
        else keyLimits.letGo(meta.id);
        const one = open.get(meta.id);
        const error = goneError(reason);
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
    one?.visit?.leave();
    one?.turn.leave();
    open.delete(id);
    if (open.size === 0) onUnused();
  }

  /** Their readers are closed, and none of them is open here any more. */
  function letGoAll(): Open[] {
    const all = [...open.values()];
    for (const one of all) {
      one.reader.close();
      one.turn.leave();
      one.visit?.leave();
    }
    open.clear();
    return all;
  }

  function leave({ meta, owned, callers }: Open, reason: string): void {
    if (!owned) return;
    if (callers.length === 0) clientLeft(services, meta, reason, undefined);
    for (const caller of callers) clientLeft(services, meta, reason, caller);
  }

  return {
    readFresh,

    get size() {
      return open.size;
    },

    /** Whether the socket may have one more. */
    get hasRoom() {
      return open.size < maxPerSocket;
    },

    /** From a cursor on. Throws an ApiError when the socket reads it already, or has no room. */
    subscribe(described: Described, after: EntryId): void {
      const { meta } = described;
      if (open.has(meta.id)) {
        throw invalidRequest(`This socket reads '${meta.id}' already.`, { param: 'id' });
      }
      if (open.size >= maxPerSocket) throw noRoom();
      const start = startOf(described, after);
      if (start.kind === 'ahead') {
        send(socketEvent(meta.id, resetEvent('cursor_ahead')));
        read(meta, logStart, { frame: 'subscribe', owned: false });
        return;
      }
      // A subscription always has an end, also of a reader that has it already.
      const cursor = start.kind === 'finished' ? start.before : start.after;
      read(meta, cursor, { frame: 'subscribe', owned: false });
    },

    /** What was asked for here is a request that was asked for before, with the same Idempotency-Key. */
    join({ meta }: Described, caller: Caller | undefined, owned: boolean): void {
      const own = open.get(meta.id);
      if (!own) {
        read(meta, logStart, { frame: 'create', owned, caller });
        return;
      }
      // This socket reads it already, and will not be told anything twice.
      own.owned ||= owned;
      if (caller && owned) own.callers.push(caller);
    },

    /**
     * Where one that waits stands, now and as that changes. Resolves when it was told, or Redis did
     * not say so in time.
     */
    async tellPlace(id: string): Promise<void> {
      const one = open.get(id);
      if (!one) return;
      one.visit?.leave();
      // A socket that is full is not told more: its place comes again when it changes.
      one.visit = waitingRoom.enter(id, (event) => hasRoom() && send(socketEvent(id, event)));
      await within(one.visit.told).catch(() => {});
    },

    /** What was held back of it has been sent. */
    resume(id: string): void {
      const one = open.get(id);
      if (one?.isHeldBack) one.turn.queue();
    },

    /** There is room again: they read on, one after the other. */
    resumeAll: turns.goOn,

    /** Stops reading one without a word about it; false when it was not read. */
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
      for (const one of letGoAll()) {
        logEnd(one, 'left');
        leave(one, reason);
      }
    },

    /**
     * This ingress stops: the requests run on without it, and the socket's client gets for each of them
     * where it can be read from here on. Resolves when Redis has it, or did not answer in time.
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
      // What ended meanwhile has told its end.
      for (const one of letGoAll()) {
        const { id } = one.meta;
        logEnd(one, 'handed_over', 'server_draining');
        send(socketEvent(id, movedEvent(id)));
      }
    },
  };
}

export const noRoom = () =>
  invalidRequest(`This socket has ${maxPerSocket} requests open, as many as it may.`, {
    status: 429,
    code: 'too_many_requests_on_socket',
  });

/** How the request of a terminal line ended, for the log of this process. */
function endOf(line: Line): { outcome: RequestOutcome; code?: string | null } {
  const entry = decodeEntry(line.text);
  if (entry.kind === 'done') return { outcome: 'completed' };
  if (entry.kind === 'failed') return { outcome: 'failed', code: entry.data.error.code };
  return { outcome: 'cancelled' };
}
