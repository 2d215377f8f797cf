import { openAiResponsesClient } from '@millrace/formats/openai-responses/client/format';
import type { FormatEvent } from '@millrace/formats/client-port';
import type { Line } from '@millrace/shared/domain/entry';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { draining, errorOf, fromFailed, withRequestId } from '../../../api-error.ts';
import type { ApiError } from '../../../api-error.ts';
import type { ConnectionView } from '../../../delivery/log-reader.ts';
import type { ScheduledRead } from '../../../delivery/read-scheduler.ts';
import type { SocketWriter } from '../../../delivery/socket-writer.ts';
import type { Refused } from '../../../errors.ts';
import type { Client, Exchange } from '../../../exchange/exchange-client.ts';
import { logSocketRequest, outcomeOf, usedFields } from '../../../observe/request-log.ts';
import type { RequestSpan } from '../../../observe/tracing.ts';
import type { Services } from '../../../services.ts';
import { factsOfAnswer } from '../../answer-facts.ts';
import { encodeLine } from '../../format-api.ts';
import { completedAt, noProgress, noteAttempt, readFailed } from '../../progress.ts';
import { laneMessage } from './frames.ts';

/** How a turn ended. `left`: without its client. */
export type TurnEnd = 'completed' | 'failed' | 'left';

export type TurnOptions = {
  path: string;
  lane: string;
  meta: RequestMeta;
  writer: Pick<SocketWriter, 'send' | 'held'>;
  services: Pick<Services, 'logger' | 'prices'>;
  scheduled: ScheduledRead;
  span: RequestSpan | undefined;
  /** The turn has failed before its first event. */
  refuse(error: ApiError): void;
};

/** A response on a WebSocket: the client of its exchange, which cannot take text back. */
export class ResponseTurn implements Client {
  /** Undefined only while the exchange is being opened. */
  exchange: Exchange | undefined;
  /** Resolves when the body is not needed any more. */
  readonly sent: Promise<void>;
  readonly ended: Promise<TurnEnd>;
  readonly #options: TurnOptions;
  readonly #onSent: () => void;
  readonly #onEnded: (end: TurnEnd) => void;
  readonly #progress;
  /** By `performance.now()`. */
  readonly #since = performance.now();
  #encoder;
  /** The client has events of the response. */
  #isStarted = false;
  #isOver = false;

  constructor(options: TurnOptions) {
    this.#options = options;
    this.#progress = noProgress(options.meta.id);
    this.#encoder = this.#begin();
    const sent = Promise.withResolvers<void>();
    this.sent = sent.promise;
    this.#onSent = sent.resolve;
    const ended = Promise.withResolvers<TurnEnd>();
    this.ended = ended.promise;
    this.#onEnded = ended.resolve;
  }

  leave(reason: string): void {
    this.#end('left', undefined);
    this.exchange?.leave(reason);
  }

  released(): void {
    this.#onSent();
  }

  opening(): void {
    this.#options.scheduled.opening();
  }

  hasRoom(): boolean {
    return this.#options.scheduled.hasRoom();
  }

  describe(): ConnectionView {
    return { transport: 'websocket', native: false, buffered: this.#options.writer.held() };
  }

  lines(batch: readonly Line[]): boolean {
    const { prices } = this.#options.services;
    for (const line of batch) {
      const kind = line.text[0];
      if (kind === 'c' || kind === 'u') {
        this.#send(encodeLine(this.#encoder, line.text));
        if (this.#isStarted) this.#progress.firstTextAt ??= performance.now();
      } else if (kind === 'd') {
        this.#send(this.#encoder.end(completedAt(line)));
        this.#end('completed', undefined);
      } else if (kind === 'f' || kind === 'x') this.#fail(fromFailed(readFailed(line)));
      else noteAttempt(this.#progress, line, prices);
    }
    // `hasRoom` reports a full socket.
    return true;
  }

  reset(): 'again' | 'lost' {
    if (this.#isStarted) return 'lost';
    this.#encoder = this.#begin();
    return 'again';
  }

  refused(refused: Refused): void {
    this.#fail(errorOf(refused));
  }

  moved(id: string): void {
    this.#fail(draining(id));
  }

  #begin() {
    return openAiResponsesClient.encodeStream(factsOfAnswer(this.#options.meta));
  }

  #send(events: readonly FormatEvent[]): void {
    const { writer, lane } = this.#options;
    for (const { data } of events) writer.send(laneMessage(lane, data));
    this.#isStarted ||= events.length > 0;
  }

  #fail(error: ApiError): void {
    if (this.#isOver) return;
    if (this.#isStarted) {
      this.#send(this.#encoder.error(withRequestId(error.error, this.#progress.id), error.status));
      this.#end('failed', error);
    } else {
      this.#end('failed', error);
      this.#options.refuse(error);
    }
  }

  #end(end: TurnEnd, error: ApiError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { path, meta, services, scheduled, span } = this.#options;
    const { id, attempts, servedBy, firstTextAt } = this.#progress;
    const code = error && (error.error.code ?? 'error');
    const outcome = outcomeOf(code, end !== 'left', error?.status ?? 200);
    const about = { id, outcome, code, key: meta.keyId, model: meta.model, attempts };
    span?.end(about);
    // A turn that was refused is logged with its refusal.
    if (this.#isStarted || error === undefined) {
      logSocketRequest(services.logger, {
        ...about,
        path,
        frame: 'response.create',
        ms: Math.round(performance.now() - this.#since),
        served_by: servedBy,
        first_token_ms:
          firstTextAt === undefined ? undefined : Math.round(firstTextAt - this.#since),
        ...usedFields(this.#progress),
      });
    }
    scheduled.remove();
    this.#onSent();
    this.#onEnded(end);
  }
}
