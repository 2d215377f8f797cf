import type { ServerResponse } from 'node:http';
import { isTerminalLine, logStart } from '@millrace/shared/domain/entry';
import type { Line, OpenAiError } from '@millrace/shared/domain/entry';
import type { Described } from '@millrace/shared/store/stream-log/port';
import { movedEvent } from '../../server/hand-over.ts';
import { sseComment, sseEvent, sseRetry, toJobEvent } from '../../delivery/encode.ts';
import { readerLife } from '../../delivery/reader-life.ts';
import type { ReaderSink } from '../../delivery/relay.ts';
import type { PositionWatch } from '../../delivery/queue-position.ts';
import { openSseWriter } from '../../delivery/sse-writer.ts';
import type { Services } from '../../services.ts';
import type { Start } from './cursor.ts';
import { apiError, goneError } from '../../errors.ts';
import { factsOf, noteModel } from '../../observe/request-log.ts';

export type EventsOptions = {
  described: Described;
  start: Exclude<Start, { kind: 'finished' }>;
  response: ServerResponse;
  services: Services;
};

/** A native reader over SSE: the request's events from a cursor on, to its terminal event. */
export function streamEvents({ described, start, response, services }: EventsOptions): void {
  const { meta } = described;
  const facts = factsOf(response);
  noteModel(response, meta.model);
  const writer = openSseWriter({
    response,
    headers: () => ({}),
    limits: services.config.limits,
    keepAlive: services.keepAlive,
    onDrain: () => reader.resume(),
    stalled: errorEvent(apiError('reader_too_slow').error),
  });

  const sink: ReaderSink = {
    lines(batch: readonly Line[]) {
      positionWatch?.stop();
      let text = '';
      for (const line of batch) {
        const event = toJobEvent(line, meta.includeUsage);
        if (event) text += sseEvent(event);
        if (isTerminalLine(line.text)) {
          writer.end(text);
          return true;
        }
      }
      return text === '' || writer.write(text);
    },
    hasRoom: writer.hasRoom,
    reset(reason) {
      writer.write(sseEvent(resetEvent(reason)));
    },
    gone(reason) {
      const { error } = goneError(reason);
      facts.code = error.code;
      writer.end(errorEvent(error));
    },
  };

  writer.write(sseRetry() + sseComment('connected'));
  if (start.kind === 'ahead') sink.reset('cursor_ahead');
  let positionWatch: PositionWatch | undefined;
  if (!described.ended) {
    positionWatch = services.queuePositions.watch(meta.id, (event) =>
      writer.write(sseEvent(event)),
    );
  }
  const reader = services.relay.open(
    meta.id,
    start.kind === 'ahead' ? logStart : start.after,
    sink,
    readerLife(meta, services.config),
  );
  const connection = services.connections.add(
    () => {
      reader.close();
      // The whole log was written, and the client takes it too slowly.
      if (writer.ended) response.destroy();
      else {
        facts.code = 'server_draining';
        services.metrics.handedOver();
        writer.end(sseEvent(movedEvent(meta.id)));
      }
    },
    undefined,
    writer.held,
  );
  response.on('close', () => {
    connection.remove();
    positionWatch?.stop();
    reader.close();
  });
}

/** The last event on a connection; the job itself may run on. */
const errorEvent = (error: OpenAiError) =>
  sseEvent({ event: 'error', data: JSON.stringify({ error }) });

/** For a reader whose cursor is beyond the end of the log. */
export const resetEvent = (reason: string) => ({
  event: 'reset',
  data: JSON.stringify({ reason }),
});
