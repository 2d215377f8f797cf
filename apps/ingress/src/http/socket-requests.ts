import {
  compareEntryIds,
  isTerminalLine,
  logStart,
  sameEntryId,
} from '@millrace/shared/domain/entry';
import type { EntryId, Line } from '@millrace/shared/domain/entry';
import type { RequestMeta } from '@millrace/shared/domain/request';
import type { Caller, Described } from '@millrace/shared/log/port';
import { socketEvent, toJobEvent } from '../relay/encode.ts';
import type { Reader, ReaderSink } from '../relay/relay.ts';
import type { Services } from '../services.ts';
import { invalidRequest, streamLost } from './errors.ts';
import { resetEvent } from './events.ts';
import { errorFrame } from './socket-frames.ts';

/** Requests that one socket may have open: created or subscribed. */
export const maxPerSocket = 1000;

/** A request on this socket. `owned`: created by it and not detached, so that it ends with it. */
type Open = { reader: Reader; owned: boolean; callers: Caller[] };

type Send = (text: string) => boolean;

/** The requests that are open on one socket, and the readers that bring their events to it. */
export type SocketRequests = ReturnType<typeof createSocketRequests>;

export function createSocketRequests(
  { submitter, relay, onError }: Pick<Services, 'submitter' | 'relay' | 'onError'>,
  send: Send,
  /** The last one is over. */
  onUnused: () => void,
) {
  const open = new Map<string, Open>();

  /** `caller`: by whose Idempotency-Key it was asked for here. */
  function read(
    meta: RequestMeta,
    start: (sink: ReaderSink) => Reader,
    owner: { owned: boolean; caller?: Caller | undefined },
    sendEvent: Send = send,
  ): void {
    const reader = start(sinkOf(meta, sendEvent));
    const callers = owner.caller ? [owner.caller] : [];
    open.set(meta.id, { reader, owned: owner.owned, callers });
  }

  function sinkOf(meta: RequestMeta, sendEvent: Send): ReaderSink {
    return {
      lines(batch: readonly Line[]) {
        let roomy = true;
        for (const line of batch) {
          const event = toJobEvent(line, meta.includeUsage);
          if (event) roomy = sendEvent(socketEvent(meta.id, event));
          if (isTerminalLine(line.text)) forget(meta.id);
        }
        return roomy;
      },
      reset(reason: string) {
        sendEvent(socketEvent(meta.id, resetEvent(reason)));
      },
      gone() {
        sendEvent(errorFrame({ id: meta.id }, streamLost));
        forget(meta.id);
      },
    };
  }

  function forget(id: string): void {
    open.delete(id);
    if (open.size === 0) onUnused();
  }

  function leave(id: string, { owned, callers }: Open, reason: string): void {
    if (!owned) return;
    if (callers.length === 0) submitter.leave(id, reason).catch(onError);
    for (const caller of callers) submitter.leave(id, reason, caller).catch(onError);
  }

  return {
    read,

    get size() {
      return open.size;
    },

    has: (id: string) => open.has(id),

    /** Throws an ApiError when the socket has as many as it may. */
    checkRoom(): void {
      if (open.size < maxPerSocket) return;
      throw invalidRequest(`This socket has ${maxPerSocket} requests open, as many as it may.`, {
        status: 429,
        code: 'too_many_requests_on_socket',
      });
    },

    /** From a cursor on. Throws an ApiError when the socket reads it already, or has no room. */
    subscribe({ meta, last, ended }: Described, after: EntryId): void {
      if (open.has(meta.id)) {
        throw invalidRequest(`This socket reads '${meta.id}' already.`, { param: 'id' });
      }
      this.checkRoom();
      const isAhead = compareEntryIds(after, last) > 0;
      if (isAhead) send(socketEvent(meta.id, resetEvent('cursor_ahead')));
      // One who has read it all is told its end once more: a subscription always has one.
      const isRead = ended && sameEntryId(after, last);
      const cursor = isRead ? { run: last.run, seq: last.seq - 1 } : isAhead ? logStart : after;
      read(meta, (sink) => relay.open(meta.id, cursor, sink), { owned: false });
    },

    /** What was asked for here is a request that was asked for before, with the same Idempotency-Key. */
    join({ meta }: Described, caller: Caller | undefined, owned: boolean): void {
      const own = open.get(meta.id);
      if (!own) {
        read(meta, (sink) => relay.open(meta.id, logStart, sink), { owned, caller });
        return;
      }
      // This socket reads it already, and will not be told anything twice.
      own.owned ||= owned;
      if (caller && owned) own.callers.push(caller);
    },

    resume: (id: string) => open.get(id)?.reader.resume(),

    resumeAll(): void {
      for (const { reader } of open.values()) reader.resume();
    },

    /** Stops reading one without a word about it; false when it was not read. */
    drop(id: string, reason?: string): boolean {
      const one = open.get(id);
      if (!one) return false;
      one.reader.close();
      forget(id);
      if (reason !== undefined) leave(id, one, reason);
      return true;
    },

    endAll(reason: string): void {
      for (const [id, one] of open) {
        one.reader.close();
        leave(id, one, reason);
      }
      open.clear();
    },
  };
}
