import type { ServerResponse } from 'node:http';
import { isTerminalLine, logStart } from '@millrace/shared/domain/entry';
import type { Line, OpenAiError } from '@millrace/shared/domain/entry';
import type { Described } from '@millrace/shared/store/stream-log/port';
import { movedEvent } from '../../server/hand-over.ts';
import { sseComment, sseEvent, sseRetry, toJobEvent } from '../../delivery/encode.ts';
import { readerLife } from '../../delivery/reader-life.ts';
import type { ReaderSink } from '../../delivery/relay.ts';
import type { Visit } from '../../delivery/queue-position.ts';
import { openSse } from '../../delivery/sse-writer.ts';
import type { Services } from '../../services.ts';
import type { Start } from './cursor.ts';
import { goneError, slowReader } from '../../errors.ts';
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
  const connection = openSse({
    response,
    headers: () => ({}),
    limits: services.config.limits,
    keepAlive: services.keepAlive,
    onDrain: () => reader.resume(),
    stalled: errorEvent(slowReader),
  });

  const sink: ReaderSink = {
    lines(batch: readonly Line[]) {
      visit?.leave();
      let text = '';
      for (const line of batch) {
        const event = toJobEvent(line, meta.includeUsage);
        if (event) text += sseEvent(event);
        if (isTerminalLine(line.text)) {
          connection.end(text);
          return true;
        }
      }
      return text === '' || connection.write(text);
    },
    hasRoom: connection.hasRoom,
    reset(reason) {
      connection.write(sseEvent(resetEvent(reason)));
    },
    gone(reason) {
      const error = goneError(reason);
      facts.code = error.code;
      connection.end(errorEvent(error));
    },
  };

  connection.write(sseRetry() + sseComment('connected'));
  if (start.kind === 'ahead') sink.reset('cursor_ahead');
  let visit: Visit | undefined;
  if (!described.ended) {
    visit = services.waitingRoom.enter(meta.id, (event) => connection.write(sseEvent(event)));
  }
  const reader = services.relay.open(
    meta.id,
    start.kind === 'ahead' ? logStart : start.after,
    sink,
    readerLife(meta, services.config),
  );
  const open = services.connections.add(
    () => {
      reader.close();
      // All was said, and its reader takes it too slowly.
      if (connection.ended) response.destroy();
      else {
        facts.code = 'server_draining';
        services.metrics.handedOver();
        connection.end(sseEvent(movedEvent(meta.id)));
      }
    },
    undefined,
    connection.held,
  );
  response.on('close', () => {
    open.remove();
    visit?.leave();
    reader.close();
  });
}

/** The last words on a connection; the job itself may be well. */
const errorEvent = (error: OpenAiError) =>
  sseEvent({ event: 'error', data: JSON.stringify({ error }) });

/** Told to a reader whose cursor lies past what the log has. */
export const resetEvent = (reason: string) => ({
  event: 'reset',
  data: JSON.stringify({ reason }),
});
