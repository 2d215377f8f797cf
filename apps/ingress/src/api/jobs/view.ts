import { createAssembly } from '@millrace/formats/openai-chat/completion';
import { decodeEntry } from '@millrace/shared/domain/entry';
import type { Line, Terminal } from '@millrace/shared/domain/entry';
import { isJsonObject, parseShallow } from '@millrace/shared/domain/json';
import { setMembers, singleLine } from '@millrace/shared/domain/json-text';
import type { Described, ReadOutcome, StreamLog } from '@millrace/shared/store/stream-log/port';
import type { JobQueue } from '@millrace/shared/store/queue/port';
import { createSummaryCache, emptySummary, addLine } from './summary.ts';
import type { AttemptSummary, LogSummary } from './summary.ts';
import { apiError } from '../../api-error.ts';
import type { QueuePositions } from '../../delivery/queue-position.ts';
import { createLimiter } from '../../admission/limiter.ts';
import { within } from '../../store-timeout.ts';

/** What `GET /v1/jobs/{id}` answers: made from the log, page by page, and the place in the queue. */
export type JobViews = {
  /** As JSON text. Throws an ApiError: too many ask, Redis takes too long, the client is gone. */
  view(described: Described, client: Client): Promise<string>;
  /** Views that are being made, or wait for it. */
  readonly size: number;
  /** Characters of those that are made and not sent yet. */
  readonly held: number;
  /** Above it further views are refused. */
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
  /** Bytes of an answer that is put together; a larger one is there as events only. */
  maxResultBytes: number;
};

/** Bytes of one read of the log: what is parsed before other views have their turn. */
const readBytes = 128 * 1024;
/** Views that are made at a time, and those that may wait for it. */
const maxMaking = 8;
export const maxViews = 200;
/** Of the largest results, as many as may wait to be sent. */
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
      // The ends of attempts that were cancelled with the request stand behind the request's own end.
      for (const text of described.late ?? []) addLine(summary, { ...summary.cursor, text });
      if (summary.end?.kind !== 'done') {
        return JSON.stringify({
          ...viewOf(described, summary),
          ...(await queueFields(meta.id, summary)),
        });
      }
    }
    // The answer is read only once it is whole.
    const summary = emptySummary();
    const answer = createAnswer(maxResultBytes);
    for await (const page of pages(meta.id, summary, signal)) {
      for (const line of page.lines) {
        answer.take(line);
        addLine(summary, line);
      }
    }
    const { result, omitted } = answer.result();
    const view = { ...viewOf(described, summary), result_omitted: omitted };
    // As text: a provider's numbers can be more exact than ours.
    return setMembers(JSON.stringify(view), { result: result ?? 'null' });
  }

  async function readSummary(id: string, signal: AbortSignal): Promise<LogSummary> {
    const summary = summaries.get(id);
    for await (const page of pages(id, summary, signal)) {
      // Redis has lost what the summary includes.
      if (page.ahead) Object.assign(summary, emptySummary());
      else for (const line of page.lines) addLine(summary, line);
    }
    if (summary.end) summaries.delete(id);
    else summaries.put(id, summary);
    return summary;
  }

  /** Pages of the log behind the summary's cursor, which the caller moves. Throws once the signal fires. */
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

/** Stands in the process log for an answer that was not made; no client gets it. */
const clientGone = () => apiError('client_gone');

/** What every view has. Times are in seconds since the epoch. */
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

/** Characters that a list or an object costs beside what is in it. */
const nodeChars = 16;

/** Characters that a value takes in memory, about. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  let size = nodeChars;
  for (const one of Object.values(value)) size += sizeOf(one);
  return size;
}

/** Assembles the answer from its lines. */
function createAnswer(maxBytes: number) {
  let assembly = createAssembly();
  let whole: string | undefined;
  let chars = 0;

  function start(): void {
    assembly = createAssembly();
    whole = undefined;
    chars = 0;
  }

  function add(text: string): void {
    if (chars > maxBytes) return;
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
      else if (kind === 'r' || kind === 'z') {
        const entry = decodeEntry(text);
        if (entry.kind === 'reset') start();
        else if (entry.kind === 'result') whole = entry.data.body;
      }
    },
    /** As JSON text. */
    result(): { result?: string; omitted?: 'too_large' } {
      if (whole !== undefined) return { result: singleLine(whole) };
      if (chars > maxBytes) return { omitted: 'too_large' };
      return { result: JSON.stringify(assembly.result()) };
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
