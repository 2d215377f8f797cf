import { assembleCompletion } from '@millrace/shared/domain/completion';
import { decodeEntry, logStart } from '@millrace/shared/domain/entry';
import type { AttemptEnded, AttemptStarted, Entry, Terminal } from '@millrace/shared/domain/entry';
import { setMembers, singleLine } from '@millrace/shared/domain/json-text';
import type { Described, StreamLog } from '@millrace/shared/log/port';
import type { JobQueue } from '@millrace/shared/queue/port';
import type { WaitingRoom } from './relay/waiting-room.ts';

const readBytes = 256 * 1024;

export type ViewDeps = {
  log: Pick<StreamLog, 'read'>;
  queue: Pick<JobQueue, 'position'>;
  waitingRoom: Pick<WaitingRoom, 'estimate'>;
};

/** What `GET /v1/jobs/{id}` answers, as JSON text: the log, read as a whole, and the place in the queue. */
export async function viewJob(
  described: Described,
  { log, queue, waitingRoom }: ViewDeps,
): Promise<string> {
  const { meta } = described;
  const story = createStory();
  for (let after = logStart, more = true; more;) {
    const read = await log.read(meta.id, after, readBytes);
    for (const line of read?.lines ?? []) story.take(decodeEntry(line.text));
    const newest = read?.lines.at(-1);
    if (newest) after = newest;
    more = read?.more === true && newest !== undefined;
  }
  const { end, attempts } = story;
  const view: Record<string, unknown> = {
    id: meta.id,
    status: end ? statusOf(end.kind) : 'queued',
    created_at: Math.floor(meta.createdAt / 1000),
    attempts: attempts.map((attempt) => viewAttempt(attempt, end)),
  };
  if (meta.metadata !== undefined) view['metadata'] = meta.metadata;
  if (!end) {
    const position = await queue.position(meta.id);
    if (position === undefined) view['status'] = 'running';
    else {
      view['queue_position'] = position;
      view['estimated_wait_ms'] = waitingRoom.estimate(position);
    }
    return JSON.stringify(view);
  }
  view['finished_at'] = Math.floor(end.data.at / 1000);
  if (end.kind === 'done') {
    if (end.data.usage !== undefined) view['usage'] = end.data.usage;
  }
  if (end.kind === 'failed') view['error'] = end.data.error;
  const text = JSON.stringify(view);
  // As text: a provider's numbers can be more exact than ours.
  return end.kind === 'done' ? setMembers(text, { result: story.result() ?? 'null' }) : text;
}

export const statusOf = (kind: Terminal['kind']) => (kind === 'done' ? 'completed' : kind);

type AttemptStory = { started: AttemptStarted; ended?: AttemptEnded };

/** Gathers what a log tells: the attempts, what is shown at the end of it, and how it ended. */
function createStory() {
  const attempts: AttemptStory[] = [];
  let chunks: string[] = [];
  let whole: string | undefined;
  let end: Terminal | undefined;
  return {
    attempts,
    get end() {
      return end;
    },
    take(entry: Entry): void {
      switch (entry.kind) {
        case 'attempt':
          attempts.push({ started: entry.data });
          break;
        case 'attempt_end': {
          const open = attempts.find(({ started }) => started.attempt === entry.data.attempt);
          if (open) open.ended = entry.data;
          break;
        }
        case 'chunk':
        case 'usage':
          chunks.push(entry.text);
          break;
        case 'result':
          whole = entry.data.body;
          break;
        case 'reset':
          chunks = [];
          whole = undefined;
          break;
        case 'seam':
          break;
        default:
          end = entry;
      }
    },
    /** As JSON text. */
    result(): string | undefined {
      if (whole !== undefined) return singleLine(whole);
      return JSON.stringify(assembleCompletion(chunks.map((text) => JSON.parse(text) as unknown)));
    },
  };
}

/** Times are in seconds since the epoch, to the millisecond. */
function viewAttempt({ started, ended }: AttemptStory, end: Terminal | undefined) {
  const { run, attempt, provider, model, at } = started;
  return {
    run,
    attempt,
    provider,
    model,
    started_at: at / 1000,
    first_token_at: ended?.firstTokenAt === undefined ? undefined : ended.firstTokenAt / 1000,
    ended_at: ended ? ended.at / 1000 : undefined,
    // An attempt that nothing ended: under way, or its worker was lost, or it was called off.
    outcome:
      ended?.outcome ??
      (end ? (end.kind === 'cancelled' ? 'cancelled' : 'worker_lost') : 'running'),
    usage: ended?.usage,
    estimated: ended?.estimated,
  };
}
