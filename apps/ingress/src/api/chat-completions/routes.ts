import { decodeEntry, isTerminalLine, logStart, sameEntryId } from '@millrace/shared/domain/entry';
import type { EntryId, Failed, Line } from '@millrace/shared/domain/entry';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { handOver, movedFailure, withinHandOver } from '../../server/hand-over.ts';
import { sseChunk, sseDone, sseError } from '../../delivery/encode.ts';
import { readerLife } from '../../delivery/reader-life.ts';
import type { GoneReason, Reader, ReaderSink } from '../../delivery/relay.ts';
import { openSseWriter } from '../../delivery/sse-writer.ts';
import type { Services } from '../../services.ts';
import type { Prepared } from '../../exchange/prepare.ts';
import type { Charge } from '../../admission/quota.ts';
import { parseObject, readChatRequest } from './body.ts';
import { clientLeft, sendCharged } from '../../exchange/charged.ts';
import { readLastEventId, startOf } from '../jobs/cursor.ts';
import { ApiError, apiError, asFailed, fromFailed, goneError, toApiError } from '../../errors.ts';
import {
  readContinuation,
  readDeadline,
  readEventIds,
  readIdempotencyKey,
  readOnDisconnect,
  readPriority,
} from '../headers.ts';
import { attachRequest } from '../../exchange/attach.ts';
import { recordRefusal, clientOf } from '../../observe/refused.ts';
import { adoptId } from '../request-id.ts';
import { sendError } from '../reply.ts';
import { factsOf, noteModel } from '../../observe/request-log.ts';
import { endWhenStalled } from '../../delivery/whole-answers.ts';

const endpoint = '/v1/chat/completions';

/** A call that was charged to its key, and the reply for its answer. */
type ChargedCall = {
  prepared: Prepared;
  charge: Charge;
  reply: FastifyReply;
  services: Services;
  /** The cursor of a client that reads its stream again; else the start of the log. */
  after: EntryId;
};

/** What the answer's headers and the request log say of a call so far. */
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
    // Without an Idempotency-Key the call makes a new request, which has no entry yet.
    if (!idempotency && !sameEntryId(after, logStart)) throw apiError('cursor_ahead');
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
    // The client left meanwhile (`close` will not come again), or a drain has answered it.
    if (reply.raw.destroyed || reply.sent) {
      charge.refund();
      return reply.hijack();
    }
    for (const [name, value] of Object.entries(charge.headers)) reply.raw.setHeader(name, value);
    // An answer can take long; the body need not stay in memory for it.
    request.body = undefined;
    // From here on the answer comes from the relay, not from this handler.
    reply.hijack();
    const call = { prepared, charge, reply, services, after };
    if (chat.stream) answerStream(call, withIds);
    else answerWhole(call);
    return reply;
  });
}

const header = (request: FastifyRequest, name: string): string | undefined => {
  const value = request.headers[name];
  return typeof value === 'string' ? value : undefined;
};

function answerStream(call: ChargedCall, withIds: boolean): void {
  const { reply, services, after } = call;
  const { meta } = call.prepared;
  const progress = noProgress(meta.id);
  const writer = openSseWriter({
    response: reply.raw,
    headers: () => headHeaders(progress),
    limits: services.config.limits,
    keepAlive: services.keepAlive,
    onDrain: () => reader.resume(),
    stalled: sseError(apiError('reader_too_slow')),
  });

  /** One write for all lines of a batch, so that they go out in one packet. */
  function lines(batch: readonly Line[]): boolean {
    let text = '';
    for (const line of batch) {
      const kind = line.text[0];
      if (kind === 'c' || (kind === 'u' && meta.includeUsage)) text += sseChunk(line, withIds);
      else if (kind === 'd') {
        writer.end(text + sseDone);
        return true;
      } else if (kind === 'f' || kind === 'x') {
        endWithError(text, readFailed(line));
        return true;
      } else noteAttempt(progress, line);
    }
    return text === '' || writer.write(text);
  }

  function endWithError(text: string, failed: Failed): void {
    if (writer.started || text !== '') {
      factsOf(reply.raw).code = failed.error.code ?? 'error';
      writer.end(text + sseError(failed));
    } else {
      sendError(reply.raw, fromFailed(failed), headHeaders(progress));
      writer.end('');
    }
  }

  const reader = deliver(call, progress, {
    lines,
    hasRoom: writer.hasRoom,
    reset() {
      // The log lost lines that this plain reader has, and it cannot take text back.
      if (!writer.started && sameEntryId(after, logStart)) return;
      reader.close();
      reader.cancel('what its reader was shown is lost');
      endWithError('', lostFailed);
    },
    gone: (reason) => endWithError('', goneFailure(reason)),
    fail: (failed) => endWithError('', failed),
    ended: () => writer.ended,
    held: writer.held,
  });
}

function answerWhole(call: ChargedCall): void {
  const { prepared, reply, services } = call;
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
      } else noteAttempt(progress, line);
    }
    return true;
  }

  const fail = (failed: Failed) => sendError(reply.raw, fromFailed(failed), headHeaders(progress));
  deliver(call, progress, {
    lines,
    // Nothing was sent yet, so the answer can start over.
    reset() {
      result = undefined;
    },
    gone: (reason) => fail(goneFailure(reason)),
    fail,
    ended: () => reply.raw.writableEnded,
    held: () => (result?.body.length ?? 0) + reply.raw.writableLength,
  });
}

/** Opens the reader first, then sends the request, so that no line is missed. */
function deliver(
  { prepared, charge, reply, services, after }: ChargedCall,
  progress: Progress,
  sink: ReaderSink & { fail(failed: Failed): void; ended(): boolean; held(): number },
): Reader & { cancel(reason: string): void } {
  const { meta, once } = prepared;
  const { relay, metrics, keyLimits, refused, onError } = services;
  const response = reply.raw;
  factsOf(response).progress = progress;
  /** The client has a part of the answer, and continues from a cursor. */
  const isAgain = !sameEntryId(after, logStart);
  let heard = false;
  let left = false;
  /** For a drain that comes before the end of the answer: `asked` until Redis has the request, then `made`. */
  let handOverState: 'none' | 'asked' | 'made' = 'none';
  const watched: ReaderSink = {
    ...sink,
    lines(batch) {
      heard = true;
      // The request was made anew, but the client has a part of another answer: it gets a 410.
      if (isAgain) return true;
      // Before the client sees the end: its next request may follow at once.
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
    if (!meta.attached || handOverState === 'made') return;
    left = true;
    clientLeft(services, { id: progress.id, keyId: meta.keyId }, reason, once?.caller);
  };

  /** The Idempotency-Key stands for another request: reads that one, from the start or the cursor. */
  async function attach(id: string): Promise<void> {
    reader.close();
    Object.assign(progress, { id, replayed: true });
    adoptId(reply, id);
    const joining = attachRequest(services, id, (described) => {
      if (sink.ended() || response.destroyed) return;
      const start = startOf(described, after);
      if (start.kind === 'ahead') throw apiError('cursor_ahead');
      reader = relay.open(id, start.kind === 'finished' ? start.before : start.after, sink, life);
    });
    await joining.catch((error: unknown) => {
      cancel('its answer cannot be read');
      throw error;
    });
    // The client left before the request was known.
    if (response.destroyed) cancel('the client went away');
  }

  /** For a drain: the client reads on elsewhere. An end that comes meanwhile still goes out here. */
  async function handOverReader(): Promise<void> {
    if (sink.ended()) {
      // The whole answer was written, and the client takes it too slowly.
      reader.close();
      response.destroy();
      return;
    }
    handOverState = 'asked';
    const isMade = await withinHandOver(sending).catch(() => false);
    if (sink.ended() || response.destroyed) return;
    if (!isMade) {
      reader.close();
      sink.fail(shuttingDownFailure);
      // The client makes the request again: ends this one, should it still get to Redis.
      cancel('the server shuts down');
      return;
    }
    handOverState = 'made';
    const { id } = progress;
    const outcome = await handOver(services, { id, attached: meta.attached }, once?.caller);
    reader.close();
    if (!sink.ended()) sink.fail(outcome === 'gone' ? lostFailed : movedFailure(id));
  }

  const connection = services.connections.add(handOverReader, undefined, sink.held);
  metrics.opened(meta);

  // `close` without a finished answer: the client left.
  response.on('close', () => {
    connection.remove();
    reader.close();
    // With an Idempotency-Key other callers may wait for the answer.
    if (meta.attached && !once && handOverState !== 'made') keyLimits.ended(meta);
    else keyLimits.readerLeft(meta.id);
    metrics.closed(meta, response.writableFinished ? response.statusCode : 499);
    if (!response.writableFinished) cancel('the client went away');
  });

  /** Resolves with false if there is no such request; with true if there is, or that is unknown. */
  const sending: Promise<boolean> = sendCharged(services, prepared, charge, {
    // A request with a line in its log was queued, even if Redis' reply was lost.
    isHeard: () => heard,
    hasLeft: () => left || handOverState === 'asked',
  })
    .finally(() => reply.request.releaseBody())
    .then(async (sent) => {
      if (sent.kind === 'joined') await attach(sent.id);
      if (sent.kind !== 'queued' || !isAgain) return sent.kind !== 'unsent';
      // Also with `keep`: the client has a part of another answer, and cannot use this one.
      clientLeft(services, meta, 'it was made anew for a reader of another one', once?.caller);
      throw apiError('cursor_ahead');
    })
    .catch((thrown: unknown) => {
      if (!(thrown instanceof ApiError)) onError(thrown);
      reader.close();
      if (sink.ended()) return false;
      const answer = toApiError(thrown);
      const { error, status } = answer;
      recordRefusal(refused, answer, clientOf(reply.request));
      sink.fail({
        error,
        httpStatus: status,
        retryAfterMs: status === 503 ? retryAfterMs : undefined,
      });
      return false;
    });
  return { resume: () => reader.resume(), close: () => reader.close(), cancel };
}

function noteAttempt(progress: Progress, line: Line): void {
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
  return entry.kind === 'failed' ? entry.data : cancelledFailure;
}

const goneFailure = (reason: GoneReason): Failed => asFailed(goneError(reason));

const lostFailed: Failed = asFailed(apiError('stream_lost'));

const cancelledFailure: Failed = asFailed(apiError('request_cancelled'));

/** Milliseconds after which a client whose request could not be queued may retry. */
const retryAfterMs = 2000;

const shuttingDownFailure: Failed = asFailed(apiError('server_shutting_down'));
