import type { ServerResponse } from 'node:http';
import { isTerminalLine, logStart } from '@millrace/shared/domain/entry';
import type { Line, OpenAiError } from '@millrace/shared/domain/entry';
import type { Described } from '@millrace/shared/store/stream-log/port';
import { apiError, errorOf, withRequestId } from '../../api-error.ts';
import type { Principal } from '../../auth/api-keys.ts';
import type { PositionWatch } from '../../delivery/queue-position.ts';
import { openSseWriter, sseComment } from '../../delivery/sse-writer.ts';
import type { Start } from '../../delivery/start.ts';
import { factsOf, noteModel } from '../../observe/request-log.ts';
import type { Refused } from '../../errors.ts';
import type { Services } from '../../services.ts';
import { readExisting } from '../read-existing.ts';
import { movedEvent, queuedEvent, resetEvent, sseEvent, sseRetry, jobEvents } from './job-event.ts';

export type EventsOptions = {
  described: Described;
  start: Exclude<Start, { kind: 'finished' }>;
  response: ServerResponse;
  /** Of the reader, who need not be the one who made the request. */
  principal: Principal;
  services: Services;
};

/** A native reader over SSE: the request's events from a cursor on, to its terminal event. */
export function streamEvents(options: EventsOptions): void {
  const { described, start, response, principal, services } = options;
  const { meta } = described;
  const facts = factsOf(response);
  noteModel(response, meta.model);
  let events = jobEvents(meta, start.kind === 'ahead' ? logStart : start.after);
  let positionWatch: PositionWatch | undefined;
  const writer = openSseWriter({
    response,
    headers: () => ({}),
    limits: services.config.limits,
    keepAlive: services.keepAlive,
    onDrain: () => exchange.resume(),
    stalled: () => errorEvent(apiError('reader_too_slow').error, meta.id),
  });
  writer.begin();

  function lines(batch: readonly Line[]): boolean {
    positionWatch?.stop();
    let text = '';
    for (const line of batch) {
      for (const event of events.of(line)) text += sseEvent(event);
      if (isTerminalLine(line.text)) {
        writer.end(text);
        return true;
      }
    }
    return text === '' || writer.write(text);
  }

  function reset(reason: string): 'again' {
    writer.write(sseEvent(resetEvent(reason)));
    events = jobEvents(meta, logStart);
    return 'again';
  }

  writer.write(sseRetry() + sseComment('connected'));
  if (start.kind === 'ahead') reset('cursor_ahead');
  if (!described.ended) {
    positionWatch = services.queuePositions.watch(meta.id, (position) =>
      writer.write(sseEvent(queuedEvent(position))),
    );
  }
  const client = {
    lines,
    hasRoom: writer.hasRoom,
    describe: () => ({ transport: 'sse', native: true, buffered: writer.held() }) as const,
    reset,
    refused(refused: Refused) {
      const { error } = errorOf(refused);
      facts.code = error.code;
      writer.end(errorEvent(error, meta.id));
    },
    moved(id: string) {
      facts.code = 'server_draining';
      writer.end(sseEvent(movedEvent(id)));
    },
    cut: () => void response.destroy(),
  };
  response.on('close', () => positionWatch?.stop());
  const { from } = events;
  const { held } = writer;
  const exchange = readExisting({
    described,
    from,
    client,
    response,
    principal,
    services,
    held,
  });
}

/** The last event on a connection; the job itself may continue. */
const errorEvent = (error: OpenAiError, id: string) =>
  sseEvent({ event: 'error', data: JSON.stringify({ error: withRequestId(error, id) }) });
