import { openAiResponsesClient } from '@millrace/formats/openai-responses/client/format';
import { responseId } from '@millrace/formats/openai-responses/client/response';
import { memberText } from '@millrace/shared/domain/json-text';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import { apiError, errorOf } from '../../../api-error.ts';
import { createReadScheduler } from '../../../delivery/read-scheduler.ts';
import type { Refused } from '../../../errors.ts';
import type { Prepared } from '../../../exchange/prepare.ts';
import { notedModel } from '../../../observe/request-log.ts';
import type { RequestSpan } from '../../../observe/tracing.ts';
import { keyEnded } from '../../answer.ts';
import { factsOfAnswer } from '../../answer-facts.ts';
import { readContinuation, readDeadline, readMaxCost, readPriority } from '../../headers.ts';
import { makeRequestId } from '../../../server/request-id.ts';
import type { Resolved } from '../../port.ts';
import { readRequest } from '../../read-request.ts';
import type { Frame } from '../../websocket/frames.ts';
import type { SocketContext, SocketProtocol, SocketSession } from '../../websocket/protocol.ts';
import { createSocketClient } from '../../websocket/socket-client.ts';
import { responses } from '../api.ts';
import { errorMessage, laneMessage, laneOf, readTurn, unnamedLane } from './frames.ts';
import { createResponseMemory } from './memory.ts';
import type { ResponseMemory } from './memory.ts';
import { ResponseTurn } from './turn.ts';

/** Named lanes of one connection, as in OpenAI's API. */
export const maxLanes = 32;
/** Turns of one lane that run or wait: a frame that waits holds memory, and the socket is not read while too many do. */
const maxInLane = 3;
/** Milliseconds that a connection lasts, as in OpenAI's API. */
export const connectionMs = 60 * 60_000;

/** OpenAI's WebSocket mode of `/v1/responses`. */
export const responseFrames: SocketProtocol = {
  path: '/v1/responses',
  opens: () => true,
  begin: (context) => new ResponseSession(context),
  errorFrame: (frame, error, id) => errorMessage(shownLane(frame), error, id),
};

/** The lane of a frame that may be wrong. */
function shownLane(frame: Frame | undefined): string {
  try {
    return frame ? laneOf(frame) : unnamedLane;
  } catch {
    return unnamedLane;
  }
}

class ResponseSession implements SocketSession {
  readonly #context: SocketContext;
  readonly #memory: ResponseMemory;
  readonly #scheduler;
  /** For each lane the end of its newest turn, and how many run or wait. */
  readonly #lanes = new Map<string, { newest: Promise<unknown>; turns: number }>();
  readonly #turns = new Set<ResponseTurn>();
  readonly #client = createSocketClient();
  readonly #expiry: NodeJS.Timeout;
  #isExpired = false;

  constructor(context: SocketContext) {
    const { services, writer } = context;
    this.#context = context;
    this.#memory = createResponseMemory(services.bodies, services.config.limits);
    this.#scheduler = createReadScheduler(writer.hasRoom);
    this.#expiry = setTimeout(() => this.#expire(), connectionMs);
  }

  get size(): number {
    return this.#turns.size;
  }

  /** Turns of one lane run one after the other. */
  async serve(frame: Frame, data: Buffer): Promise<void> {
    const lane = laneOf(frame);
    const isNamed = lane !== unnamedLane;
    if (isNamed && !this.#lanes.has(lane)) {
      const named = [...this.#lanes.keys()].filter((name) => name !== unnamedLane);
      if (named.length >= maxLanes) {
        throw apiError('websocket_stream_limit_reached', { max: maxLanes });
      }
    }
    const state = this.#lanes.get(lane) ?? { newest: Promise.resolve(), turns: 0 };
    if (state.turns >= maxInLane) throw apiError('too_many_requests_on_socket', { max: maxInLane });
    const before = state.newest;
    const over = Promise.withResolvers<unknown>();
    state.newest = over.promise;
    state.turns += 1;
    this.#lanes.set(lane, state);
    void this.#settleLane(lane, over.promise);
    let turn: ResponseTurn | undefined;
    try {
      await before;
      if (isLarge(data)) await nextTurn();
      turn = await this.#begin(lane, frame, data.toString('utf8'));
    } finally {
      over.resolve(turn?.ended);
    }
    await turn?.sent;
  }

  /** A lane without turns that remembers nothing is none. */
  async #settleLane(lane: string, turn: Promise<unknown>): Promise<void> {
    await turn;
    const state = this.#lanes.get(lane);
    if (!state) return;
    state.turns -= 1;
    if (state.turns === 0 && !this.#memory.has(lane)) this.#lanes.delete(lane);
  }

  resume(): void {
    this.#scheduler.schedule();
  }

  leave(reason: string): void {
    clearTimeout(this.#expiry);
    this.#client.leave();
    for (const turn of this.#turns) turn.leave(reason);
    this.#memory.clear();
  }

  expel(refused: Refused): void {
    for (const { exchange } of this.#turns) exchange?.expel(refused, keyEnded);
  }

  async drain(): Promise<void> {
    await Promise.all([...this.#turns].map(async ({ exchange }) => exchange?.drain()));
  }

  /** Undefined if no answer follows. */
  async #begin(lane: string, frame: Frame, text: string): Promise<ResponseTurn | undefined> {
    const { principal, services, headers } = this.#context;
    if (!this.#maySend()) return undefined;
    const turn = readTurn(frame, text);
    const { previous_response_id: previous, store } = turn.body;
    let resolved: Resolved | undefined;
    let opened: ResponseTurn | undefined;
    try {
      resolved = await responses.resolve?.(turn.body, {
        text: turn.text,
        principal,
        services,
        client: this.#client,
        remembered: (id) => this.#memory.find(id),
      });
      const { parsed, body } = readRequest(responses, turn, resolved);
      const { model, stream, includeUsage, inner, echo, keepsBody } = parsed;
      const submission = {
        principal,
        endpoint: responses.path,
        body,
        inner,
        echo,
        keepsBody,
        model,
        stream,
        includeUsage,
        reader: 'plain' as const,
        attached: true,
        read: true,
        deadlineAt: readDeadline(headers['x-millrace-deadline'], Date.now()),
        priority: readPriority(headers['x-millrace-priority']),
        continuation: readContinuation(headers),
        maxCost: readMaxCost(headers['x-millrace-max-cost']),
      };
      await services.loadPrices(submission);
      if (!this.#maySend()) return undefined;
      const span = turn.generate ? services.tracing?.beginFrame(responseFrames.path) : undefined;
      const prepared = services.exchanges.prepare({ ...submission, trace: span?.trace });
      if (prepared.kind === 'refused') {
        const error = errorOf(prepared);
        const about = { key: principal.keyId, model: notedModel(model) };
        span?.end({ outcome: 'failed', status: error.status, code: error.error.code, ...about });
        throw error;
      }
      const id = responseId(prepared.meta.id);
      const isWarmUp = !turn.generate;
      if (store === false || isWarmUp) {
        this.#memory.keep(lane, id, { input: memberText(body, 'input') ?? '[]', isWarmUp });
      }
      if (isWarmUp) {
        this.#answerWarmUp(lane, prepared.meta);
        return undefined;
      }
      opened = this.#open(prepared, { lane, frame, span, previous });
      return opened;
    } finally {
      const release = resolved?.release;
      if (release) void (opened?.sent ?? Promise.resolve()).finally(release);
    }
  }

  /** False: the client is gone. Throws an ApiError if the server or the connection takes no new request. */
  #maySend(): boolean {
    const { socket, services } = this.#context;
    if (socket.readyState !== socket.OPEN) return false;
    if (services.draining()) throw apiError('server_shutting_down');
    if (this.#isExpired) throw apiError('websocket_connection_limit_reached');
    return true;
  }

  #open(prepared: Prepared, { lane, frame, span, previous }: Opened): ResponseTurn {
    const { services, writer, refuse, onUnused } = this.#context;
    const { meta } = prepared;
    // Not the whole frame, because it contains the body, and a response may be open for long.
    const head: Frame = { type: frame['type'], stream_id: frame['stream_id'] };
    const scheduled = this.#scheduler.add(() => turn.exchange?.resume());
    const turn: ResponseTurn = new ResponseTurn({
      path: responseFrames.path,
      lane,
      meta,
      writer,
      services,
      scheduled,
      span,
      refuse: (error) => refuse(head, error, meta.id),
    });
    this.#turns.add(turn);
    const settle = async () => {
      const end = await turn.ended;
      this.#turns.delete(turn);
      if (end !== 'completed') {
        this.#memory.forget(responseId(meta.id));
        if (typeof previous === 'string') this.#memory.forget(previous);
      }
      if (this.#turns.size > 0) return;
      onUnused();
      if (this.#isExpired) this.#closeExpired();
    };
    void settle();
    turn.exchange = services.exchanges.open(prepared, turn);
    return turn;
  }

  /** The events of a response without output, which only this connection knows. */
  #answerWarmUp(lane: string, meta: RequestMeta): void {
    const encoder = openAiResponsesClient.encodeStream(factsOfAnswer(meta));
    encoder.usage(noUsage);
    for (const { data } of encoder.end(Date.now())) {
      this.#context.writer.send(laneMessage(lane, data));
    }
  }

  #expire(): void {
    this.#isExpired = true;
    if (this.#turns.size === 0) this.#closeExpired();
  }

  #closeExpired(): void {
    const { writer, close } = this.#context;
    const error = apiError('websocket_connection_limit_reached');
    writer.send(errorMessage(unnamedLane, error, makeRequestId()));
    close('expired');
  }
}

/** What a turn needs beside its request. */
type Opened = {
  lane: string;
  frame: Frame;
  span: RequestSpan | undefined;
  /** Its `previous_response_id`. */
  previous: unknown;
};

const noUsage = '{"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}';
