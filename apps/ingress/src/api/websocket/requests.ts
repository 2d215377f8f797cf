import { decodeEntry, isTerminalLine, logStart } from '@millrace/shared/domain/entry';
import type { EntryId, Line } from '@millrace/shared/domain/entry';
import type { RequestMeta } from '@millrace/shared/domain/request';
import type { Described } from '@millrace/shared/store/stream-log/port';
import { apiError, errorOf } from '../../api-error.ts';
import type { ApiError } from '../../api-error.ts';
import type { PositionWatch } from '../../delivery/queue-position.ts';
import { createReadScheduler } from '../../delivery/read-scheduler.ts';
import type { ReadScheduler, ScheduledRead } from '../../delivery/read-scheduler.ts';
import type { ConnectionView } from '../../delivery/log-reader.ts';
import type { SocketWriter } from '../../delivery/socket-writer.ts';
import { startOf } from '../../delivery/start.ts';
import { socketPath } from '../../auth/authenticate.ts';
import type { Refused } from '../../errors.ts';
import type { Client, Exchange } from '../../exchange/exchange-client.ts';
import type { Prepared } from '../../exchange/prepare.ts';
import { logSocketRequest, usedFields } from '../../observe/request-log.ts';
import type { RequestOutcome } from '../../observe/request-log.ts';
import type { RequestSpan } from '../../observe/tracing.ts';
import type { Services } from '../../services.ts';
import { within } from '../../store-timeout.ts';
import { keyEnded } from '../answer.ts';
import { isAttemptLine, noProgress, noteAttempt } from '../progress.ts';
import type { Progress } from '../progress.ts';
import { jobEvents, movedEvent, queuedEvent, resetEvent, socketEvent } from '../jobs/job-event.ts';
import type { JobEvent, JobEvents } from '../jobs/job-event.ts';
import { errorFrame } from './frames.ts';

/** Requests that one socket may have open, created or subscribed. */
export const maxPerSocket = 1000;

export type SocketRequestsOptions = {
  services: Pick<Services, 'exchanges' | 'queuePositions' | 'logger' | 'prices'>;
  writer: Pick<SocketWriter, 'send' | 'hasRoom' | 'held'>;
  /** Called when no request is open any more. */
  onUnused(): void;
};

/** The data that a `create` frame adds to its request. */
export type Asked = {
  ref: string | undefined;
  /** Its span, if it is traced. */
  span?: RequestSpan | undefined;
  /** The request was not created: answers the frame. */
  refuse(error: ApiError, id: string): void;
};

/** The open requests of one socket, and their readers. */
export class SocketRequests {
  readonly #services: SocketRequestsOptions['services'];
  readonly #writer: SocketRequestsOptions['writer'];
  readonly #onUnused: () => void;
  readonly #scheduler: ReadScheduler;
  readonly #open = new Map<string, SocketRequest>();

  constructor({ services, writer, onUnused }: SocketRequestsOptions) {
    this.#services = services;
    this.#writer = writer;
    this.#onUnused = onUnused;
    this.#scheduler = createReadScheduler(writer.hasRoom);
  }

  get size(): number {
    return this.#open.size;
  }

  /** Throws an ApiError if the socket has no room for one more request. */
  checkRoom(): void {
    if (this.#open.size < maxPerSocket) return;
    throw apiError('too_many_requests_on_socket', { max: maxPerSocket });
  }

  /** Creates a request and reads it. The caller has checked the room. Resolves when the frame has its answer. */
  async create(prepared: Prepared, asked: Asked): Promise<void> {
    const request = this.#add(prepared.meta, 'create', asked);
    request.exchange = this.#services.exchanges.open(prepared, request);
    await request.answered;
    await this.#reportPosition(request.exchange.id);
  }

  /**
   * Reads a request from a cursor on. Throws an ApiError if the socket reads the request already, or has no
   * room.
   */
  async subscribe(described: Described, after: EntryId): Promise<void> {
    const { meta, ended } = described;
    if (this.#open.has(meta.id)) {
      throw apiError('invalid_request', {
        message: `This socket reads '${meta.id}' already.`,
        param: 'id',
      });
    }
    this.checkRoom();
    const start = startOf(described, after);
    if (start.kind === 'ahead') this.#writer.send(socketEvent(meta.id, resetEvent('cursor_ahead')));
    const request = this.#add(meta, 'subscribe', undefined, cursorOf(start));
    request.exchange = this.#services.exchanges.read(described, request, request.events.from);
    if (!ended) await this.#reportPosition(meta.id);
  }

  isReading(id: string): boolean {
    return this.#open.has(id);
  }

  /** Stops reading a request, without an event; false if the socket does not read it. */
  drop(id: string, reason: string): boolean {
    const request = this.#open.get(id);
    request?.leave(reason);
    return request !== undefined;
  }

  leaveAll(reason: string): void {
    for (const request of this.#open.values()) request.leave(reason);
  }

  /** The key of the socket ended: each request ends with this error. */
  expelAll(refused: Refused): void {
    for (const { exchange } of this.#open.values()) exchange?.expel(refused, keyEnded);
  }

  /** Resolves when this ingress sends nothing more for any of the requests. */
  async drainAll(): Promise<void> {
    await Promise.all([...this.#open.values()].map(async ({ exchange }) => exchange?.drain()));
  }

  /** The socket has room again: its readers continue. */
  resumeAll(): void {
    this.#scheduler.schedule();
  }

  #add(
    meta: RequestMeta,
    frame: 'create' | 'subscribe',
    asked: Asked | undefined,
    after = logStart,
  ): SocketRequest {
    const scheduled = this.#scheduler.add(() => request.exchange?.resume());
    const request: SocketRequest = new SocketRequest({
      meta,
      frame,
      asked,
      after,
      scheduled,
      writer: this.#writer,
      logger: this.#services.logger,
      prices: this.#services.prices,
      open: this.#open,
      onClosed: () => {
        if (this.#open.size === 0) this.#onUnused();
      },
    });
    this.#open.set(meta.id, request);
    return request;
  }

  /**
   * Sends the queue position of a request, now and when it changes. Resolves after the first report, or when Redis does
   * not answer in time.
   */
  async #reportPosition(id: string): Promise<void> {
    const request = this.#open.get(id);
    if (!request) return;
    // A full socket gets no report; the next change is reported.
    const watch = this.#services.queuePositions.watch(
      id,
      (position) => this.#writer.hasRoom() && request.send(queuedEvent(position)),
    );
    request.watchPosition(watch);
    await within(watch.reported).catch(() => {});
  }
}

/** A reader that has the terminal entry gets it again, so that every subscription has an end. */
function cursorOf(start: ReturnType<typeof startOf>): EntryId {
  if (start.kind === 'ahead') return logStart;
  return start.kind === 'finished' ? start.before : start.after;
}

type SocketRequestOptions = {
  meta: RequestMeta;
  frame: 'create' | 'subscribe';
  asked: Asked | undefined;
  /** The client has the events up to this line. */
  after: EntryId;
  scheduled: ScheduledRead;
  writer: SocketRequestsOptions['writer'];
  logger: Services['logger'];
  prices: Services['prices'];
  /** The open requests of the socket, by id. */
  open: Map<string, SocketRequest>;
  onClosed(): void;
};

/** A request on a socket: the client of its exchange. */
class SocketRequest implements Client {
  /** Undefined only while the exchange is being opened. */
  exchange: Exchange | undefined;
  /** Resolves when the `create` frame has its answer and its text is not needed any more. */
  readonly answered: Promise<void>;
  readonly #options: SocketRequestOptions;
  readonly #resolve: () => void;
  #id: string;
  /** The client has received the id, so events may follow. */
  #isConfirmed: boolean;
  #isReleased = false;
  /** The client gets nothing more of this request on this socket. */
  #isClosed = false;
  /** The relay had lines before the client had the id, and has paused the reader. */
  #isHeldBack = false;
  #positionWatch: PositionWatch | undefined;
  readonly #progress: Progress;
  #events: JobEvents;
  /** By `performance.now()`. */
  readonly #since = performance.now();

  constructor(options: SocketRequestOptions) {
    this.#options = options;
    this.#id = options.meta.id;
    this.#progress = noProgress(options.meta.id);
    this.#events = jobEvents(options.meta, options.after);
    this.#isConfirmed = options.asked === undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.answered = promise;
    this.#resolve = resolve;
  }

  get events(): JobEvents {
    return this.#events;
  }

  send(event: JobEvent): boolean {
    return this.#options.writer.send(socketEvent(this.#id, event));
  }

  watchPosition(watch: PositionWatch): void {
    this.#positionWatch?.stop();
    this.#positionWatch = watch;
  }

  leave(reason: string): void {
    this.#end('left');
    this.exchange?.leave(reason);
    this.#settle();
  }

  released(): void {
    this.#isReleased = true;
    this.#settle();
  }

  created(id: string): void {
    this.#confirm(id);
    if (this.#isHeldBack) this.#options.scheduled.queue();
    this.#settle();
  }

  joined(id: string): void {
    const { open } = this.#options;
    this.#confirm(id);
    open.delete(this.#id);
    this.#id = id;
    this.#events = jobEvents({ ...this.#options.meta, id }, logStart);
    if (open.has(id)) {
      // Another exchange of this socket reads the request already; no event is sent twice.
      const { keyId: key, model } = this.#options.meta;
      this.#options.asked?.span?.end({ id, outcome: 'completed', key, model });
      this.#close();
    } else open.set(id, this);
    this.#settle();
  }

  readerOf(id: string): Exchange | undefined {
    return this.#options.open.get(id)?.exchange;
  }

  opening(): void {
    this.#options.scheduled.opening();
  }

  hasRoom(): boolean {
    if (this.#isConfirmed) return this.#options.scheduled.hasRoom();
    this.#isHeldBack = true;
    return false;
  }

  describe(): ConnectionView {
    return { transport: 'websocket', native: true, buffered: this.#options.writer.held() };
  }

  lines(batch: readonly Line[]): boolean {
    this.#positionWatch?.stop();
    for (const line of batch) {
      const events = this.#events.of(line);
      for (const event of events) this.send(event);
      if (events[0]?.event === 'chunk') this.#progress.firstTextAt ??= performance.now();
      else if (isAttemptLine(line)) noteAttempt(this.#progress, line, this.#options.prices);
      if (isTerminalLine(line.text)) {
        const { outcome, code } = endOf(line);
        this.#end(outcome, code);
      }
    }
    // `hasRoom` reports a full socket.
    return true;
  }

  reset(reason: string): 'again' {
    this.send(resetEvent(reason));
    this.#events = jobEvents({ ...this.#options.meta, id: this.#id }, logStart);
    return 'again';
  }

  refused(refused: Refused): void {
    const error = errorOf(refused);
    const { asked, writer } = this.#options;
    if (this.#isClosed) return;
    if (this.#isConfirmed || !asked) {
      writer.send(errorFrame({ id: this.#id }, error.error, this.#id));
      this.#end('failed', error.error.code);
    } else {
      asked.refuse(error, this.#id);
      const { keyId: key, model } = this.#options.meta;
      asked.span?.end({ id: this.#id, ...failed(error), key, model });
      this.#close();
    }
    this.#settle();
  }

  moved(id: string): void {
    if (this.#isClosed) return;
    this.send(movedEvent(id));
    this.#end('handed_over', 'server_draining');
    this.#settle();
  }

  #confirm(id: string): void {
    const { asked, writer } = this.#options;
    if (asked) writer.send(JSON.stringify({ type: 'created', id, ref: asked.ref }));
    this.#isConfirmed = true;
  }

  #settle(): void {
    if (this.#isReleased && (this.#isConfirmed || this.exchange?.isOver)) this.#resolve();
  }

  #end(outcome: RequestOutcome, code?: string | null): void {
    const { meta, frame, logger, asked } = this.#options;
    const { attempts, servedBy, firstTextAt } = this.#progress;
    const ms = Math.round(performance.now() - this.#since);
    const { keyId: key, model } = meta;
    asked?.span?.end({ id: this.#id, outcome, code, key, model, attempts });
    logSocketRequest(logger, {
      path: socketPath,
      id: this.#id,
      frame,
      key,
      model,
      ms,
      outcome,
      code,
      attempts,
      served_by: servedBy,
      first_token_ms: firstTextAt === undefined ? undefined : Math.round(firstTextAt - this.#since),
      ...usedFields(this.#progress),
    });
    this.#close();
  }

  #close(): void {
    this.#isClosed = true;
    const { open, scheduled, onClosed } = this.#options;
    this.#positionWatch?.stop();
    scheduled.remove();
    if (open.get(this.#id) === this) open.delete(this.#id);
    onClosed();
  }
}

const failed = ({ status, error }: ApiError) =>
  ({ outcome: 'failed', status, code: error.code }) as const;

/** The outcome in a terminal line, for the process log. */
function endOf(line: Line): { outcome: RequestOutcome; code?: string | null } {
  const entry = decodeEntry(line.text);
  if (entry.kind === 'done') return { outcome: 'completed' };
  if (entry.kind === 'failed') return { outcome: 'failed', code: entry.data.error.code };
  return { outcome: 'cancelled' };
}
