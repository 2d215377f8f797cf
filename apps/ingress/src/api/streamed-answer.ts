import type { Line } from '@millrace/shared/domain/entry';
import { compareEntryIds, logStart, sameEntryId } from '@millrace/shared/domain/entry';
import { apiError, fromFailed, withRequestId } from '../api-error.ts';
import type { ApiError } from '../api-error.ts';
import { openSseWriter } from '../delivery/sse-writer.ts';
import { factsOf } from '../observe/request-log.ts';
import type { AnswerContext, AnswerWriter } from './answer.ts';
import { completedAt, noteAttempt, readFailed } from './progress.ts';

/** An answer as server-sent events, for a client that cannot take text back. */
export function streamedAnswer(context: AnswerContext, withIds: boolean): AnswerWriter {
  const { call, progress, head, sendError, resume } = context;
  const { api, prepared, reply, services, after, facts } = call;
  const { includeUsage } = prepared.meta;
  const begin = () => api.encodeStream({ includeUsage, withIds, answer: facts });
  let encoder = begin();
  const writer = openSseWriter({
    response: reply.raw,
    headers: head,
    limits: services.config.limits,
    keepAlive: services.keepAlive,
    keepAliveText: () => encoder.keepAlive?.() ?? '',
    onDrain: resume,
    stalled: () => errorEvent(apiError('reader_too_slow')),
  });

  const errorEvent = ({ error, status }: ApiError): string =>
    encoder.error(withRequestId(error, progress.id), status);

  function endWithError(text: string, error: ApiError): void {
    if (writer.started || text !== '') {
      factsOf(reply.raw).code = error.error.code ?? 'error';
      writer.end(text + errorEvent(error));
    } else {
      sendError(error);
      writer.end('');
    }
  }

  return {
    begin: writer.begin,
    /** One write for all lines of a batch, so that they are sent in one packet. */
    lines(batch: readonly Line[]): boolean {
      let text = '';
      for (const line of batch) {
        const kind = line.text[0];
        if (kind === 'c' || kind === 'u') {
          const encoded = encoder.chunk(line);
          // The client has it already; an encoder needs it to write what follows.
          if (compareEntryIds(line, after) <= 0) continue;
          text += encoded;
          // The same batch may have the end of the answer.
          if (text !== '') progress.firstTextAt ??= performance.now();
        } else if (kind === 'd') {
          writer.end(text + encoder.end(completedAt(line)));
          return true;
        } else if (kind === 'f' || kind === 'x') {
          endWithError(text, fromFailed(readFailed(line)));
          return true;
        } else noteAttempt(progress, line, services.prices);
      }
      return text === '' || writer.write(text);
    },
    hasRoom: writer.hasRoom,
    reset() {
      if (writer.started || !sameEntryId(after, logStart)) return 'lost';
      // The lines come again from the start.
      encoder = begin();
      return 'again';
    },
    fail: (error) => endWithError('', error),
    held: writer.held,
  };
}
