import { createAssembly } from '@millrace/formats/openai-chat/completion';
import { decodeEntry } from '@millrace/shared/domain/entry';
import type { Line, Terminal } from '@millrace/shared/domain/entry';
import { isJsonObject, parseShallow } from '@millrace/shared/domain/json';
import { setMembers, singleLine } from '@millrace/shared/domain/json-text';
import type { Described, ReadOutcome, StreamLog } from '@millrace/shared/store/stream-log/port';
import type { JobQueue } from '@millrace/shared/store/queue/port';
import { createJobStories, newStory, tell } from './story.ts';
import type { AttemptStory, JobStory } from './story.ts';
import { apiError } from '../../api-error.ts';
import type { QueuePositions } from '../../delivery/queue-position.ts';
import { createLimiter } from '../../admission/limiter.ts';
import { within } from '../../store-timeout.ts';

/** What `GET /v1/jobs/{id}` answers: made from the log, page by page, and the place in the queue. */
export type JobViews = {
  /** As JSON text. Throws an ApiError: too many ask, Redis takes too long, the client is gone. */
  view(described: Described, client: Client): Promise<string>;
  /** Being made, or in line for it. */
  readonly size: number;
  /** Characters of those that are made and not sent yet. */
  readonly held: number;
  /** Past it nobody gets another one. */
  readonly maxHeld: number;
  /** Characters that are kept of requests under way. */
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

/** Bytes of one read of the log: what is taken apart before others have their turn. */
const readBytes = 128 * 1024;
/** Views that are made at a time, and those that may wait for it. */
const maxMaking = 8;
export const maxViews = 200;
/** Of the largest results, as many as may wait to be sent. */
const maxHeldResults = 4;
/** Characters that are remembered of requests under way. */
export const maxStoryChars = 4 * 1024 * 1024;

export function createJobViews(options: JobViewsOptions): JobViews {
  const { log, queue, queuePositions, maxResultBytes } = options;
  const limiter = createLimiter(maxMaking);
  const stories = createJobStories(maxStoryChars);
  const maxHeld = maxHeldResults * maxResultBytes;
  let held = 0;

  async function make(described: Described, signal: AbortSignal): Promise<string> {
    const { meta } = described;
    if (described.ended !== 'done') {
      const story = await readStory(meta.id, signal);
      // Of attempts that were called off with the request: their ends came behind its own.
      for (const text of described.late ?? []) tell(story, { ...story.cursor, text });
      if (story.end?.kind !== 'done') {
        return JSON.stringify({
          ...viewOf(described, story),
          ...(await queueFields(meta.id, story)),
        });
      }
    }
    // The answer of a request under way is never looked at: it is read when it is whole.
    const story = newStory();
    const answer = createAnswer(maxResultBytes);
    for await (const page of pages(meta.id, story, signal)) {
      for (const line of page.lines) {
        answer.take(line);
        tell(story, line);
      }
    }
    const { result, omitted } = answer.result();
    const view = { ...viewOf(described, story), result_omitted: omitted };
    // As text: a provider's numbers can be more exact than ours.
    return setMembers(JSON.stringify(view), { result: result ?? 'null' });
  }

  async function readStory(id: string, signal: AbortSignal): Promise<JobStory> {
    const story = stories.recall(id);
    for await (const page of pages(id, story, signal)) {
      // What was remembered was lost by Redis.
      if (page.ahead) Object.assign(story, newStory());
      else for (const line of page.lines) tell(story, line);
    }
    if (story.end) stories.forget(id);
    else stories.keep(id, story);
    return story;
  }

  /** From the story's cursor on, which whoever takes them moves. Throws once the signal fires. */
  async function* pages(id: string, story: JobStory, signal: AbortSignal) {
    for (let page: ReadOutcome | undefined, more = true; more;) {
      signal.throwIfAborted();
      page = await log.read(id, story.cursor, readBytes);
      if (!page) return;
      more = page.ahead || (page.more && page.lines.length > 0);
      yield page;
    }
  }

  async function queueFields(id: string, { end }: JobStory) {
    if (end) return {};
    const position = await queue.position(id);
    if (position === undefined) return { status: 'running' };
    return { queue_position: position, estimated_wait_ms: queuePositions.estimate(position) };
  }

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
        // Whatever is still read for it is for nobody.
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
      return stories.held;
    },
  };
}

/** Nobody is told: it stands for an answer that is not made. */
const clientGone = () => apiError('client_gone');

/** What every view has. Times are in seconds since the epoch. */
function viewOf({ meta }: Described, { attempts, end }: JobStory): Record<string, unknown> {
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

/** Puts together what was shown, as its lines come. */
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
    // What else is in a chunk is the same in all of them, and not kept.
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
function viewAttempt({ started, ended }: AttemptStory, end: Terminal | undefined) {
  const { run, attempt, provider, model, at } = started;
  // An attempt that nothing ended: under way, or its worker was lost, or it was called off with its request.
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
