import { createAssembly } from '@millrace/formats/openai-chat/completion';
import { decodeEntry } from '@millrace/shared/domain/entry';
import type { Line, Result, Terminal } from '@millrace/shared/domain/entry';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { isJsonObject, parseShallow } from '@millrace/shared/domain/json';
import { setMembers, singleLine } from '@millrace/shared/domain/json-text';
import type { Described, ReadOutcome, StreamLog } from '@millrace/shared/store/stream-log/port';
import type { JobQueue } from '@millrace/shared/store/queue/port';
import { createSummaryCache, emptySummary, addLine } from './summary.ts';
import type { AttemptSummary, LogSummary } from './summary.ts';
import { apiError } from '../../api-error.ts';
import { factsOfAnswer } from '../answer-facts.ts';
import { clientApiOf } from '../client-apis.ts';
import type { QueuePositions } from '../../delivery/queue-position.ts';
import { createLimiter } from '../../admission/limiter.ts';
import { within } from '../../store-timeout.ts';

/** The answer of `GET /v1/jobs/{id}`: made from the log, page by page, and the queue position. */
export type JobViews = {
  /**
   * Returns JSON text. Throws an ApiError if there are too many views, Redis takes too long, or the client
   * has left.
   */
  view(described: Described, client: Client): Promise<string>;
  /** Views that are being made, or wait for that. */
  readonly size: number;
  /** Characters of views that are made but not sent yet. */
  readonly held: number;
  /** The bound of `held`, above which further views are refused. */
  readonly maxHeld: number;
  /** Characters of the summaries of requests under way. */
  readonly remembered: number;
};

/** The response that the view is for. */
export type Client = {
  readonly destroyed: boolean;
  once(event: 'close', listener: () => void): unknown;
};

export type JobViewsOptions = {
  log: Pick<StreamLog, 'read'>;
  queue: Pick<JobQueue, 'position'>;
  queuePositions: Pick<QueuePositions, 'estimate'>;
  /** The most bytes of an answer that is assembled; a larger one is only available as events. */
  maxResultBytes: number;
};

/** Bytes of one read of the log: this much is parsed before other views get a turn. */
const readBytes = 128 * 1024;
/** Views that are made concurrently, and those that may wait for that. */
const maxMaking = 8;
export const maxViews = 200;
/** The most results of the largest size that may wait to be sent. */
const maxHeldResults = 4;
/** Characters of the summaries of requests under way. */
export const maxSummaryChars = 4 * 1024 * 1024;

/** Makes the text of a view; rejects once the signal fires. */
function createViewMaker({ log, queue, queuePositions, maxResultBytes }: JobViewsOptions) {
  const summaries = createSummaryCache(maxSummaryChars);

  async function make(described: Described, signal: AbortSignal): Promise<string> {
    const { meta } = described;
    if (described.ended !== 'done') {
      const summary = await readSummary(meta.id, signal);
      // The ends of attempts that were cancelled with the request follow the request's own end.
      for (const text of described.late ?? []) addLine(summary, { ...summary.cursor, text });
      if (summary.end?.kind !== 'done') {
        return JSON.stringify({
          ...viewOf(described, summary),
          ...(await queueFields(meta.id, summary)),
        });
      }
    }
    // The answer is read only when it is complete.
    const summary = emptySummary();
    const answer = createAnswer(meta, maxResultBytes);
    for await (const page of pages(meta.id, summary, signal)) {
      for (const line of page.lines) {
        answer.take(line);
        addLine(summary, line);
      }
    }
    const { result, omitted } = answer.result();
    const view = { ...viewOf(described, summary), result_omitted: omitted };
    // As text, because a provider's numbers can have more digits than JavaScript's.
    return setMembers(JSON.stringify(view), { result: result ?? 'null' });
  }

  async function readSummary(id: string, signal: AbortSignal): Promise<LogSummary> {
    const summary = summaries.get(id);
    for await (const page of pages(id, summary, signal)) {
      // Redis has lost lines that the summary includes.
      if (page.ahead) Object.assign(summary, emptySummary());
      else for (const line of page.lines) addLine(summary, line);
    }
    if (summary.end) summaries.delete(id);
    else summaries.put(id, summary);
    return summary;
  }

  /** Pages of the log after the summary's cursor, which the caller advances. Throws once the signal fires. */
  async function* pages(id: string, summary: LogSummary, signal: AbortSignal) {
    for (let page: ReadOutcome | undefined, more = true; more;) {
      signal.throwIfAborted();
      page = await log.read(id, summary.cursor, readBytes);
      if (!page) return;
      more = page.ahead || (page.more && page.lines.length > 0);
      yield page;
    }
  }

  async function queueFields(id: string, { end }: LogSummary) {
    if (end) return {};
    const position = await queue.position(id);
    if (position === undefined) return { status: 'running' };
    return { queue_position: position, estimated_wait_ms: queuePositions.estimate(position) };
  }

  return { make, summaries };
}

export function createJobViews(options: JobViewsOptions): JobViews {
  const { make, summaries } = createViewMaker(options);
  const limiter = createLimiter(maxMaking);
  const maxHeld = maxHeldResults * options.maxResultBytes;
  let held = 0;

  return {
    async view(described, client) {
      if (limiter.running + limiter.waiting >= maxViews || held >= maxHeld) {
        throw apiError('server_busy', { with: 'views' });
      }
      const over = new AbortController();
      client.once('close', () => over.abort(clientGone()));
      if (client.destroyed) over.abort(clientGone());
      try {
        const text = await within(limiter.run(() => make(described, over.signal)));
        if (client.destroyed) throw clientGone();
        held += text.length;
        client.once('close', () => {
          held -= text.length;
        });
        return text;
      } finally {
        // Stops reads whose view is not needed any more.
        over.abort();
      }
    },
    get size() {
      return limiter.running + limiter.waiting;
    },
    get held() {
      return held;
    },
    maxHeld,
    get remembered() {
      return summaries.held;
    },
  };
}

/** Logged for an answer that was not made; no client receives it. */
const clientGone = () => apiError('client_gone');

/** The fields of every view. Times are in seconds since the epoch. */
function viewOf({ meta }: Described, { attempts, end }: LogSummary): Record<string, unknown> {
  return {
    id: meta.id,
    status: end ? statusOf(end.kind) : 'queued',
    created_at: Math.floor(meta.createdAt / 1000),
    attempts: attempts.map((attempt) => viewAttempt(attempt, end)),
    metadata: meta.metadata,
    finished_at: end && Math.floor(end.data.at / 1000),
    usage: end?.kind === 'done' ? end.data.usage : undefined,
    error: end?.kind === 'failed' ? end.data.error : undefined,
  };
}

export const statusOf = (kind: Terminal['kind']) => (kind === 'done' ? 'completed' : kind);

/** Characters that a list or an object counts in addition to its content. */
const nodeChars = 16;

/** Approximate memory of a value, in characters. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  let size = nodeChars;
  for (const one of Object.values(value)) size += sizeOf(one);
  return size;
}

/** Assembles the answer from its lines. */
function createAnswer(meta: Readonly<RequestMeta>, maxBytes: number) {
  const api = clientApiOf(meta.endpoint);
  let completedAt: number | undefined;
  const encode = (result: Result) =>
    api.encodeWhole(result, { ...factsOfAnswer(meta), completedAt }).body;
  let assembly = createAssembly();
  let whole: Result | undefined;
  /** Of an API that assembles its answers itself. */
  let chunks: string[] = [];
  let chars = 0;

  function start(): void {
    assembly = createAssembly();
    chunks = [];
    whole = undefined;
    chars = 0;
  }

  function add(text: string): void {
    if (chars > maxBytes) return;
    if (api.assemble) {
      chars += text.length;
      if (chars > maxBytes) chunks = [];
      else chunks.push(text);
      return;
    }
    const chunk = parseShallow(text);
    // The other members of a chunk are the same in all of them, and are not kept.
    chars += sizeOf(isJsonObject(chunk) ? chunk['choices'] : undefined);
    if (chars > maxBytes) assembly = createAssembly();
    else assembly.add(chunk);
  }

  return {
    take({ text }: Line): void {
      const kind = text[0];
      if (kind === 'c' || kind === 'u') add(text.slice(1));
      else if (kind === 'r' || kind === 'z' || kind === 'd') {
        const entry = decodeEntry(text);
        if (entry.kind === 'reset') start();
        else if (entry.kind === 'result') whole = entry.data;
        else if (entry.kind === 'done') completedAt = entry.data.at;
      }
    },
    /** As JSON text. */
    result(): { result?: string; omitted?: 'too_large' } {
      if (whole !== undefined) return { result: singleLine(encode(whole)) };
      if (chars > maxBytes) return { omitted: 'too_large' };
      if (api.assemble) {
        const own = api.assemble(chunks, { ...factsOfAnswer(meta), completedAt });
        return own === undefined ? {} : { result: own };
      }
      const result = assembly.result();
      if (!result) return {};
      return { result: encode({ contentType: 'application/json', body: JSON.stringify(result) }) };
    },
  };
}

/** Times are in seconds since the epoch, to the millisecond. */
function viewAttempt({ started, ended }: AttemptSummary, end: Terminal | undefined) {
  const { run, attempt, provider, model, at } = started;
  // An attempt without an end is under way, or its worker was lost, or it was cancelled with its request.
  const calledOff = !ended && end?.kind === 'cancelled' ? end : undefined;
  const endedAt = ended?.at ?? calledOff?.data.at;
  return {
    run,
    attempt,
    provider,
    model,
    started_at: at / 1000,
    first_token_at: ended?.firstTokenAt === undefined ? undefined : ended.firstTokenAt / 1000,
    ended_at: endedAt === undefined ? undefined : endedAt / 1000,
    outcome: ended?.outcome ?? (calledOff ? 'cancelled' : end ? 'worker_lost' : 'running'),
    usage: ended?.usage,
    estimated: ended?.estimated === undefined ? undefined : true,
  };
}
