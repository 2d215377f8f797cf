import type { ServerResponse } from 'node:http';
import type { AnswerFacts } from '@millrace/formats/client-port';
import type { EntryId, Line } from '@millrace/shared/domain/entry';
import { logStart } from '@millrace/shared/domain/entry';
import type { FastifyReply } from 'fastify';
import { draining, errorOf } from '../api-error.ts';
import type { ApiError } from '../api-error.ts';
import type { Client } from '../exchange/exchange-client.ts';
import type { Prepared } from '../exchange/prepare.ts';
import type { Answered } from '../observe/metrics.ts';
import { clientOf, recordRefusal } from '../observe/record-refusal.ts';
import { factsOf, outcomeOf } from '../observe/request-log.ts';
import { sendError } from '../server/reply.ts';
import type { Services } from '../services.ts';
import type { ClientApi } from './port.ts';
import { noProgress, progressHeaders } from './progress.ts';
import type { Progress } from './progress.ts';
import { adoptId } from '../server/request-id.ts';

/* A plain client's answer over HTTP: the common part of streams and whole answers. */

export type Call = {
  api: ClientApi;
  prepared: Prepared;
  /** The answer is written directly to its raw response, not through fastify. */
  reply: FastifyReply;
  services: Services;
  /** The cursor of a client that continues its stream; otherwise the start of the log. */
  after: EntryId;
  facts: AnswerFacts;
};

/** What a writer of an answer needs. */
export type AnswerContext = {
  call: Call;
  progress: Progress;
  head(): Record<string, string>;
  /** The answer is an error; its head was not sent. */
  sendError(error: ApiError): void;
  /** The connection can take more again. */
  resume(): void;
};

export type AnswerWriter = Pick<Client, 'hasRoom' | 'reset'> & {
  /** The request was admitted and its headers are set, so data may be sent. */
  begin?(): void;
  lines(batch: readonly Line[]): boolean;
  /** Ends the answer with an error, whether or not its head was sent. */
  fail(error: ApiError): void;
  /** Bytes that wait to be sent. */
  held(): number;
};

/** In the log of a request whose client's key is not valid any more. */
export const keyEnded = 'the API key of its client ended';

/** Opens the exchange of a call, whose client leaves when its response closes. */
export function openAnswer(call: Call, open: (context: AnswerContext) => AnswerWriter): void {
  // The closures below live as long as the answer, and must not keep `prepared`, which has the body.
  const { api, prepared, reply, services, after, facts } = call;
  const { meta } = prepared;
  // The events of such an API depend on all lines before.
  const from = api.encodeEvents ? logStart : after;
  const { connections, exchanges, keyUsers, metrics } = services;
  const response = reply.raw;
  const progress = noProgress(meta.id);
  const head = () => ({ ...api.head(progress.id), ...progressHeaders(progress) });
  const writer = open({
    call,
    progress,
    head,
    sendError: (error) => sendError(response, error, head(), api.errorBody),
    resume: () => exchange.resume(),
  });
  let isOpened = false;
  factsOf(response).progress = progress;
  const exchange = exchanges.open(
    prepared,
    {
      charged(headers) {
        isOpened = true;
        metrics.opened(meta);
        for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
        writer.begin?.();
      },
      released: () => reply.request.releaseBody(),
      joined(id) {
        Object.assign(progress, { id, replayed: true });
        Object.assign(facts, { id });
        adoptId(reply, id);
      },
      lines: writer.lines,
      hasRoom: writer.hasRoom,
      describe: () => ({
        transport: meta.stream ? 'sse' : 'json',
        native: false,
        buffered: writer.held(),
      }),
      reset: writer.reset,
      refused(refused) {
        const error = errorOf(refused);
        recordRefusal(services.refused, error, clientOf(reply.request));
        writer.fail(error);
      },
      moved: (id) => writer.fail(draining(id)),
      cut: () => void response.destroy(),
    },
    after,
    from,
  );
  const connection = connections.add(() => exchange.drain(), undefined, writer.held);
  const keyUse = keyUsers.add(reply.request.principal, (refused) =>
    exchange.expel(refused, keyEnded),
  );
  response.on('close', () => {
    connection.remove();
    keyUse.remove();
    exchange.leave('the client went away');
    if (isOpened) metrics.closed(meta, answered(response, progress));
  });
}

function answered(response: ServerResponse, { firstTextAt }: Progress): Answered {
  const now = performance.now();
  const { code, since = now } = factsOf(response);
  const isComplete = response.writableFinished;
  const status = isComplete ? response.statusCode : leftBeforeEnd;
  return {
    status,
    outcome: outcomeOf(code, isComplete, status),
    ms: now - since,
    firstTextMs: firstTextAt === undefined ? undefined : firstTextAt - since,
  };
}

/** The status in the metrics of an answer whose client left before its end. */
const leftBeforeEnd = 499;
