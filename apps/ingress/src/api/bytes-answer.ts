import { shownType } from '@millrace/formats/pass-through/bytes';
import { audioIn, eventIn } from '@millrace/formats/pass-through/events';
import type { Line } from '@millrace/shared/domain/entry';
import { fromFailed } from '../api-error.ts';
import type { ApiError } from '../api-error.ts';
import { openSseWriter } from '../delivery/sse-writer.ts';
import { factsOf } from '../observe/request-log.ts';
import type { AnswerContext, AnswerWriter } from './answer.ts';
import { noteAttempt, readFailed } from './progress.ts';

/**
 * An answer as bytes that are sent as they come. The first ones decide about its head. Nothing can be said in the middle of them, so a
 * stream that breaks off ends with its connection, which is how HTTP says that a body is not complete.
 */
export function bytesAnswer({
  call,
  progress,
  head,
  sendError,
  resume,
}: AnswerContext): AnswerWriter {
  const { reply, services } = call;
  const response = reply.raw;
  let contentType = 'application/octet-stream';
  const writer = openSseWriter({
    response,
    headers: () => ({
      'content-type': contentType,
      'x-content-type-options': 'nosniff',
      ...head(),
    }),
    limits: services.config.limits,
    onDrain: resume,
  });

  function fail(error: ApiError): void {
    if (!writer.started) {
      sendError(error);
      writer.end('');
      return;
    }
    factsOf(response).code = error.error.code ?? 'error';
    response.destroy();
  }

  return {
    begin: writer.begin,
    lines(batch: readonly Line[]): boolean {
      let hasRoom = true;
      for (const line of batch) {
        const kind = line.text[0];
        if (kind === 'c') {
          const event = eventIn(line.text.slice(1));
          const bytes = event && audioIn(event);
          if (event?.contentType !== undefined) contentType = shownType(event.contentType);
          if (!bytes?.length) continue;
          progress.firstTextAt ??= performance.now();
          hasRoom = writer.write(bytes);
        } else if (kind === 'd') {
          writer.end('');
          return true;
        } else if (kind === 'f' || kind === 'x') {
          fail(fromFailed(readFailed(line)));
          return true;
        } else if (kind !== 'u') noteAttempt(progress, line, services.prices);
      }
      return hasRoom;
    },
    hasRoom: writer.hasRoom,
    reset: () => (writer.started ? 'lost' : 'again'),
    fail,
    held: writer.held,
  };
}
