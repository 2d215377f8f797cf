import { InvalidRequest } from '@millrace/formats/client-port';
import type { AnswerEncoder, ClientFormat, FormatEvent } from '@millrace/formats/client-port';
import type { IncomingHttpHeaders } from 'node:http';
import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';
import type { ClientApi, ParsedBody, StreamEncoder } from './port.ts';

export type FormatApiOptions = Pick<ClientApi, 'path' | 'urls' | 'description' | 'isCalledBy'> & {
  format: ClientFormat;
  head?: ClientApi['head'];
  /** Members that a body gets from the request's headers, with JSON texts as values. */
  members?(headers: IncomingHttpHeaders): Record<string, string>;
  echo?(body: Record<string, unknown>): unknown;
};

/** A client API whose format is not the inner form of the log. */
export function formatApi(options: FormatApiOptions): ClientApi {
  const { path, urls, description, isCalledBy, format, head = () => ({}), members, echo } = options;
  return {
    path,
    ...(urls && { urls }),
    description,
    ...(isCalledBy && { isCalledBy }),
    head,
    parse: (body, headers) => {
      const parsed = parse(format, body);
      if (parsed.kind === 'refused') return parsed;
      return {
        ...parsed,
        members: headers && members?.(headers),
        echo: echo?.(body),
      };
    },
    encodeStream: ({ withIds, answer }) => streamEncoder(format.encodeStream(answer), withIds),
    encodeWhole: ({ body, native }, answer) => ({
      contentType: 'application/json',
      body: native ?? format.encodeWhole(body, answer),
    }),
    errorBody: (error, status) => format.errorBody(error, status),
    encodeEvents(answer) {
      const encoder = format.encodeStream(answer);
      return {
        chunk: ({ text }) => encodeLine(encoder, text).map(({ data }) => data),
        end: (completedAt) => encoder.end(completedAt).map(({ data }) => data),
      };
    },
  };
}

function parse(format: ClientFormat, body: Record<string, unknown>): ParsedBody | Refused {
  try {
    const { body: inner } = format.toInner(body);
    const { model, stream } = body;
    return {
      kind: 'parsed',
      model: String(model),
      stream: stream === true,
      // The format says itself where a stream has its usage.
      includeUsage: true,
      inner,
    };
  } catch (error) {
    if (!(error instanceof InvalidRequest)) throw error;
    return refuse('invalid_request', { message: error.message, param: error.param });
  }
}

function streamEncoder(encoder: AnswerEncoder, withIds: boolean): StreamEncoder {
  return {
    chunk(line) {
      const events = encodeLine(encoder, line.text);
      const last = events.at(-1);
      if (!withIds || !last) return joined(events);
      // The client has the line once it has its last event.
      return `${joined(events.slice(0, -1))}id: ${line.run}-${line.seq}\n${sseText(last)}`;
    },
    end: (completedAt) => joined(encoder.end(completedAt)),
    error: (error, status) => joined(encoder.error(error, status)),
    keepAlive() {
      const event = encoder.keepAlive?.();
      return event ? sseText(event) : '';
    },
  };
}

/** The events of a line of kind `chunk` or `usage`. */
export const encodeLine = (encoder: AnswerEncoder, text: string): readonly FormatEvent[] =>
  text[0] === 'u' ? encoder.usage(text.slice(1)) : encoder.chunk(text.slice(1));

const sseText = ({ name, data }: FormatEvent): string =>
  name === undefined ? `data: ${data}\n\n` : `event: ${name}\ndata: ${data}\n\n`;

function joined(events: readonly FormatEvent[]): string {
  let text = '';
  for (const event of events) text += sseText(event);
  return text;
}
