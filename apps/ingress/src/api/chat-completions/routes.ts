import { decodeEntry, isTerminalLine, logStart, sameEntryId } from '@millrace/shared/domain/entry';
import type { EntryId, Failed, Line } from '@millrace/shared/domain/entry';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { handOver, movedFailure, soon } from '../../server/hand-over.ts';
import { sseChunk, sseDone, sseError } from '../../delivery/encode.ts';
import { readerLife } from '../../delivery/reader-life.ts';
import type { Gone, Reader, ReaderSink } from '../../delivery/relay.ts';
import { openSse } from '../../delivery/sse-writer.ts';
import type { Services } from '../../services.ts';
import type { Prepared } from '../../exchange/prepare.ts';
import type { Charge } from '../../admission/quota.ts';
import { parseObject, readChatRequest } from './body.ts';
import { clientLeft, sendCharged } from '../../exchange/charged.ts';
import { readLastEventId, startOf } from '../jobs/cursor.ts';
import {
  answerOverdue,
  ApiError,
  cancelledError,
  cursorAhead,
  fromFailed,
  shuttingDown,
  slowReader,
  streamLost,
  toApiError,
} from '../../errors.ts';
import {
  readContinuation,
  readDeadline,
  readEventIds,
  readIdempotencyKey,
  readOnDisconnect,
  readPriority,
} from '../headers.ts';
import { joinRequest } from '../../exchange/attach.ts';
import { noteRefusal, whoAsks } from '../../observe/refused.ts';
import { adoptId } from '../request-id.ts';
import { sendError } from '../reply.ts';
import { factsOf, noteModel } from '../../observe/request-log.ts';
import { endWhenStalled } from '../../delivery/whole-answers.ts';

const endpoint = '/v1/chat/completions';

/** A call that its key was charged for, and where its answer goes. */
type Ask = {
  prepared: Prepared;
  charge: Charge;
  reply: FastifyReply;
  services: Services;
  /** The entry behind which its answer goes on, which it has up to there; of a stream that is read again. */
  after: EntryId;
};

/** What a reader of a synchronous call knows so far of its request and of who answers. */
type Progress = { id: string; replayed: boolean; attempts: number; servedBy: string | undefined };

const noProgress = (id: string): Progress => {
  return { id, replayed: false, attempts: 0, servedBy: undefined };
};

export function completionRoutes(app: FastifyInstance, services: Services): void {
  app.post(endpoint, async (request, reply) => {
    const chat = readChatRequest(parseObject(request.body));
    if (isLarge(String(request.body))) await nextTurn();
    noteModel(reply.raw, chat.model);
    const onDisconnect = readOnDisconnect(request.headers);
    const idempotency = readIdempotencyKey(request.raw, {
      route: endpoint,
      text: String(request.body),
    });
    const cursor = chat.stream ? readLastEventId(request.headers) : undefined;
    const after = cursor ?? logStart;
    const withIds = readEventIds(request.headers) ?? cursor !== undefined;
    // A request that is made now has no entry yet, wherever the cursor is from.
    if (!idempotency && !sameEntryId(after, logStart)) throw cursorAhead();
    const prepared = services.submitter.prepare({
      principal: request.principal,
      endpoint,
      body: String(request.body),
      ...chat,
      reader: 'plain',
      attached: onDisconnect === 'cancel',
      read: true,
      deadlineAt: readDeadline(request.headers['x-millrace-deadline'], Date.now()),
      priority: readPriority(request.headers['x-millrace-priority']),
      continuation: readContinuation(request.headers),
      traceparent: header(request, 'traceparent'),
      idempotency,
    });
    adoptId(reply, prepared.meta.id);
    const charge = await services.keyLimits.admit(prepared, true);
    // Gone while we asked (`close` will not come again), or told meanwhile to come again elsewhere.
    if (reply.raw.destroyed || reply.sent) {
      charge.refund();
      return reply.hijack();
    }
    for (const [name, value] of Object.entries(charge.headers)) reply.raw.setHeader(name, value);
    // An answer can take long, and its question need not be held for it.
    request.body = undefined;
    // From here on the answer comes from the relay, not from this handler.
    reply.hijack();
    const ask = { prepared, charge, reply, services, after };
    if (chat.stream) answerStream(ask, withIds);
    else answerWhole(ask);
    return reply;
  });
}

const header = (request: FastifyRequest, name: string): string | undefined => {
  const value = request.headers[name];
  return typeof value === 'string' ? value : undefined;
};

function answerStream(ask: Ask, withIds: boolean): void {
  const { reply, services, after } = ask;
  const { meta } = ask.prepared;
  const progress = noProgress(meta.id);
  const connection = openSse({
    response: reply.raw,
    headers: () => headHeaders(progress),
    limits: services.config.limits,
    keepAlive: services.keepAlive,
    onDrain: () => reader.resume(),
    stalled: sseError({ error: slowReader }),
  });

  /** One text for all the lines that came at once: one write, one packet. */
  function lines(batch: readonly Line[]): boolean {
    let text = '';
    for (const line of batch) {
      const kind = line.text[0];
      if (kind === 'c' || (kind === 'u' && meta.includeUsage)) text += sseChunk(line, withIds);
      else if (kind === 'd') {
        connection.end(text + sseDone);
        return true;
      } else if (kind === 'f' || kind === 'x') {
        endWithError(text, readFailed(line));
        return true;
      } else note(progress, line);
    }
    return text === '' || connection.write(text);
  }

  function endWithError(text: string, failed: Failed): void {
    if (connection.started || text !== '') {
      factsOf(reply.raw).code = failed.error.code ?? 'error';
      connection.end(text + sseError(failed));
    } else {
      sendError(reply.raw, fromFailed(failed), headHeaders(progress));
      connection.end('');
    }
  }

  const reader = begin(ask, progress, {
    lines,
    hasRoom: connection.hasRoom,
    reset() {
      // A log that lost what this reader has been shown: it cannot take text back.
      if (!connection.started && sameEntryId(after, logStart)) return;
      reader.close();
      reader.cancel('what its reader was shown is lost');
      endWithError('', lostFailed);
    },
    gone: (reason) => endWithError('', goneFailure(reason)),
    fail: (failed) => endWithError('', failed),
    ended: () => connection.ended,
    held: connection.held,
  });
}

function answerWhole(ask: Ask): void {
  const { prepared, reply, services } = ask;
  const progress = noProgress(prepared.meta.id);
  let result: { contentType: string; body: string } | undefined;

  function lines(batch: readonly Line[]): boolean {
    for (const line of batch) {
      const entry = decodeEntry(line.text);
      if (entry.kind === 'result') result = entry.data;
      else if (entry.kind === 'done') {
        const { contentType, body } = result ?? { contentType: 'application/json', body: '{}' };
        reply.raw.writeHead(200, {
          'content-type': contentType,
          'content-length': Buffer.byteLength(body),
          ...headHeaders(progress),
        });
        reply.raw.end(body);
        result = undefined;
        endWhenStalled(reply.raw, services.config.limits.readerStallMs);
      } else if (entry.kind === 'failed' || entry.kind === 'cancelled') {
        sendError(reply.raw, fromFailed(readFailed(line)), headHeaders(progress));
      } else note(progress, line);
    }
    return true;
  }

  const fail = (failed: Failed) => sendError(reply.raw, fromFailed(failed), headHeaders(progress));
  begin(ask, progress, {
    lines,
    // Nothing was sent: the answer may as well come from the start.
    reset() {
      result = undefined;
    },
    gone: (reason) => fail(goneFailure(reason)),
    fail,
    ended: () => reply.raw.writableEnded,
    held: () => (result?.body.length ?? 0) + reply.raw.writableLength,
  });
}

/** Opens the reader first, then sends the request: nothing can come before somebody listens. */
function begin(
  { prepared, charge, reply, services, after }: Ask,
  progress: Progress,
  sink: ReaderSink & { fail(failed: Failed): void; ended(): boolean; held(): number },
): Reader & { cancel(reason: string): void } {
  const { meta, once } = prepared;
  const { relay, metrics, keyLimits, refused, onError } = services;
  const response = reply.raw;
  factsOf(response).progress = progress;
  /** Its reader has a part of the answer, and the id of its last entry. */
  const isAgain = !sameEntryId(after, logStart);
  let heard = false;
  let left = false;
  /** Where this ingress is to stop before the answer ends: `asked` until the request is in other hands. */
  let move: 'none' | 'asked' | 'made' = 'none';
  const watched: ReaderSink = {
    ...sink,
    lines(batch) {
      heard = true;
      // Of an answer that was made anew, for a reader with a part of another one, which ends with a 410.
      if (isAgain) return true;
      // Before its client hears of it: its next request may follow at once.
      if (isTerminalLine(batch.at(-1)?.text ?? '')) keyLimits.ended(meta);
      return sink.lines(batch);
    },
    gone(reason) {
      sink.gone(reason);
      if (reason === 'overdue') cancel('its time was over');
    },
  };
  const life = readerLife(meta, services.config);
  let reader = relay.openFresh(meta.id, watched, life);
  const cancel = (reason: string) => {
    if (!meta.attached || move === 'made') return;
    left = true;
    clientLeft(services, { id: progress.id, keyId: meta.keyId }, reason, once?.caller);
  };

  /** Its answer is that of a call before it with the same Idempotency-Key, from the start or its cursor. */
  async function join(id: string): Promise<void> {
    reader.close();
    Object.assign(progress, { id, replayed: true });
    adoptId(reply, id);
    const joining = joinRequest(services, id, (described) => {
      if (sink.ended() || response.destroyed) return;
      const start = startOf(described, after);
      // A plain reader cannot take back what it has.
      if (start.kind === 'ahead') throw cursorAhead();
      reader = relay.open(id, start.kind === 'finished' ? start.before : start.after, sink, life);
    });
    await joining.catch((error: unknown) => {
      cancel('its answer cannot be read');
      throw error;
    });
    // It went away before it was known whose request this is.
    if (response.destroyed) cancel('the client went away');
  }

  /** Its reader goes on elsewhere. What ends meanwhile, the reader still gets from here. */
  async function moveAway(): Promise<void> {
    if (sink.ended()) {
      // All was said, and its reader takes it too slowly.
      reader.close();
      response.destroy();
      return;
    }
    move = 'asked';
    const isMade = await soon(sending).catch(() => false);
    if (sink.ended() || response.destroyed) return;
    if (!isMade) {
      reader.close();
      sink.fail(shuttingDownFailure);
      // Its client makes it again: should this one still come to be, it ends.
      cancel('the server shuts down');
      return;
    }
    move = 'made';
    const { id } = progress;
    const outcome = await handOver(services, { id, attached: meta.attached }, once?.caller);
    reader.close();
    if (!sink.ended()) sink.fail(outcome === 'gone' ? lostFailed : movedFailure(id));
  }

  const connection = services.connections.add(moveAway, undefined, sink.held);
  metrics.opened(meta);

  // `close` without an end is the client that went away.
  response.on('close', () => {
    connection.remove();
    reader.close();
    // With an Idempotency-Key others may wait for the answer.
    if (meta.attached && !once && move !== 'made') keyLimits.ended(meta);
    else keyLimits.letGo(meta.id);
    metrics.closed(meta, response.writableFinished ? response.statusCode : 499);
    if (!response.writableFinished) cancel('the client went away');
  });

  /** Whether there is such a request, or it is not known. */
  const sending: Promise<boolean> = sendCharged(services, prepared, charge, {
    // An answer that has begun was queued, whatever became of the word that it was.
    isHeard: () => heard,
    hasLeft: () => left || move === 'asked',
  })
    .finally(() => reply.request.releaseBody())
    .then(async (sent) => {
      if (sent.kind === 'joined') await join(sent.id);
      if (sent.kind !== 'queued' || !isAgain) return sent.kind !== 'unsent';
      // Also with `keep`: its reader has a part of another answer, and wants none from the start.
      clientLeft(services, meta, 'it was made anew for a reader of another one', once?.caller);
      throw cursorAhead();
    })
    .catch((thrown: unknown) => {
      if (!(thrown instanceof ApiError)) onError(thrown);
      reader.close();
      if (sink.ended()) return false;
      const answer = toApiError(thrown);
      const { error, status } = answer;
      noteRefusal(refused, answer, whoAsks(reply.request));
      sink.fail({
        error,
        httpStatus: status,
        retryAfterMs: status === 503 ? retryAfterMs : undefined,
      });
      return false;
    });
  return { resume: () => reader.resume(), close: () => reader.close(), cancel };
}

function note(progress: Progress, line: Line): void {
  const entry = decodeEntry(line.text);
  if (entry.kind !== 'attempt') return;
  progress.attempts += 1;
  progress.servedBy = `${entry.data.provider}/${entry.data.model}`;
}

function headHeaders({ replayed, attempts, servedBy }: Progress): Record<string, string> {
  const headers: Record<string, string> = { 'x-millrace-attempts': String(attempts) };
  if (replayed) headers['idempotent-replayed'] = 'true';
  if (servedBy !== undefined)
    headers['x-millrace-served-by'] = servedBy.replaceAll(/[^\x20-\x7e]/g, '?');
  return headers;
}

function readFailed(line: Line): Failed {
  const entry = decodeEntry(line.text);
  return entry.kind === 'failed' ? entry.data : { error: cancelledError, httpStatus: 409 };
}

const goneFailure = (reason: Gone): Failed =>
  reason === 'overdue' ? { error: answerOverdue, httpStatus: 504 } : lostFailed;

const lostFailed: Failed = { error: streamLost, httpStatus: 500 };

/** Milliseconds after which a client that could not be queued may come back. */
const retryAfterMs = 2000;

const shuttingDownFailure: Failed = {
  error: shuttingDown().error,
  httpStatus: shuttingDown().status,
  retryAfterMs: 1000,
};
