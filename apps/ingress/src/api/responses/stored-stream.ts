import { openAiResponsesClient } from '@millrace/formats/openai-responses/client/format';
import type { FormatEvent } from '@millrace/formats/client-port';
import { logStart } from '@millrace/shared/domain/entry';
import type { Line } from '@millrace/shared/domain/entry';
import type { Described } from '@millrace/shared/store/stream-log/port';
import type { ServerResponse } from 'node:http';
import { apiError, draining, errorOf, fromFailed, withRequestId } from '../../api-error.ts';
import type { ApiError } from '../../api-error.ts';
import type { Principal } from '../../auth/api-keys.ts';
import { openSseWriter } from '../../delivery/sse-writer.ts';
import { factsOf, noteModel } from '../../observe/request-log.ts';
import { sendError } from '../../server/reply.ts';
import type { Services } from '../../services.ts';
import { factsOfAnswer } from '../answer-facts.ts';
import { encodeLine } from '../format-api.ts';
import { completedAt, readFailed } from '../progress.ts';
import { readExisting } from '../read-existing.ts';

export type StoredStreamOptions = {
  described: Described;
  /** The number of the last event that the reader has; -1 without any. */
  after: number;
  response: ServerResponse;
  /** Of the reader, who need not be the one who made the request. */
  principal: Principal;
  services: Services;
};

/**
 * Streams a response again, behind an event's number. The numbers follow from the lines of the log, so the log is read from its
 * start, and what the reader has is left out.
 */
export function streamStored(options: StoredStreamOptions): void {
  const { described, after, response, principal, services } = options;
  const { meta } = described;
  noteModel(response, meta.model);
  let encoder = openAiResponsesClient.encodeStream(factsOfAnswer(meta));
  let sequence = 0;
  const writer = openSseWriter({
    response,
    headers: () => ({}),
    limits: services.config.limits,
    keepAlive: services.keepAlive,
    onDrain: () => exchange.resume(),
    stalled: () => textOf(errorEvents(apiError('reader_too_slow')), true),
  });
  writer.begin();

  /** The events that the reader does not have, or all of them. */
  function textOf(events: readonly FormatEvent[], all = false): string {
    let text = '';
    for (const { name, data } of events) {
      if (sequence++ > after || all) text += `event: ${name}\ndata: ${data}\n\n`;
    }
    return text;
  }

  function errorEvents({ error, status }: ApiError): readonly FormatEvent[] {
    factsOf(response).code = error.code ?? 'error';
    return encoder.error(withRequestId(error, meta.id), status);
  }

  /** Ends this connection. Its error is no event of the log, so the reader gets it whatever it has. */
  function fail(error: ApiError): void {
    if (writer.started) writer.end(textOf(errorEvents(error), true));
    else sendError(response, error);
  }

  function begin(): void {
    encoder = openAiResponsesClient.encodeStream(factsOfAnswer(meta));
    sequence = 0;
  }

  function lines(batch: readonly Line[]): boolean {
    let text = '';
    for (const line of batch) {
      const kind = line.text[0];
      if (kind === 'c' || kind === 'u') text += textOf(encodeLine(encoder, line.text));
      // A job may begin its answer again.
      else if (kind === 'z') begin();
      else if (kind === 'd' || kind === 'f' || kind === 'x') {
        text += textOf(
          kind === 'd' ? encoder.end(completedAt(line)) : errorEvents(fromFailed(readFailed(line))),
        );
        if (sequence <= after)
          fail(apiError('cursor_ahead', { param: 'starting_after', last: sequence - 1 }));
        else writer.end(text);
        return true;
      }
    }
    return text === '' || writer.write(text);
  }

  const client = {
    lines,
    hasRoom: writer.hasRoom,
    describe: () => ({ transport: 'sse', native: true, buffered: writer.held() }) as const,
    reset(): 'again' {
      begin();
      return 'again';
    },
    refused: (refused: Parameters<typeof errorOf>[0]) => fail(errorOf(refused)),
    moved: (id: string) => fail(draining(id)),
    cut: () => void response.destroy(),
  };
  const { held } = writer;
  const exchange = readExisting({
    described,
    from: logStart,
    client,
    response,
    principal,
    services,
    held,
  });
}
