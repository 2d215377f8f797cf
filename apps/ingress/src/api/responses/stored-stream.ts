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
import type { Services } from '../../services.ts';
import { factsOfAnswer } from '../answer-facts.ts';
import { encodeLine } from '../format-api.ts';
import { readFailed } from '../progress.ts';
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
    stalled: () => errorText(apiError('reader_too_slow')),
  });
  writer.begin();

  function textOf(events: readonly FormatEvent[]): string {
    let text = '';
    for (const { name, data } of events) {
      if (sequence++ > after) text += `event: ${name}\ndata: ${data}\n\n`;
    }
    return text;
  }

  function errorText({ error, status }: ApiError): string {
    factsOf(response).code = error.code ?? 'error';
    return textOf(encoder.error(withRequestId(error, meta.id), status));
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
        const end = kind === 'd' ? textOf(encoder.end()) : errorText(fromFailed(readFailed(line)));
        writer.end(text + end);
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
    refused: (refused: Parameters<typeof errorOf>[0]) => writer.end(errorText(errorOf(refused))),
    moved: (id: string) => writer.end(errorText(draining(id))),
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
