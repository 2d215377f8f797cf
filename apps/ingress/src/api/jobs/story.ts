import { compareEntryIds, decodeEntry, isTerminal, logStart } from '@millrace/shared/domain/entry';
import type {
  AttemptEnded,
  AttemptStarted,
  EntryId,
  Line,
  Terminal,
} from '@millrace/shared/domain/entry';

export type AttemptStory = { started: AttemptStarted; ended?: AttemptEnded };

/** What a log tells of a request, without its answer: the attempts, and how it ended. */
export type JobStory = {
  /** The newest line it knows of. */
  cursor: EntryId;
  attempts: AttemptStory[];
  end: Terminal | undefined;
  /** Of the lines that it keeps something of. */
  chars: number;
};

export const newStory = (): JobStory => {
  return { cursor: logStart, attempts: [], end: undefined, chars: 0 };
};

/** Lines that say nothing of this are passed over without a look at what is in them. */
export function tell(story: JobStory, line: Line): void {
  story.cursor = { run: line.run, seq: line.seq };
  const kind = line.text[0];
  if (kind === 'c' || kind === 'u' || kind === 'r' || kind === 's' || kind === 'z') return;
  const entry = decodeEntry(line.text);
  story.chars += line.text.length;
  if (entry.kind === 'attempt') story.attempts.push({ started: entry.data });
  else if (entry.kind === 'attempt_end') {
    const open = story.attempts.find(({ started }) => started.attempt === entry.data.attempt);
    if (open) open.ended = entry.data;
  } else if (isTerminal(entry)) story.end = entry;
}

/**
 * The stories of requests that are under way, as far as somebody has asked: who asks again and again
 * has only what is new read for it. The oldest ones are forgotten, and then read again.
 */
export type JobStories = {
  /** A story of one's own to go on with. */
  recall(id: string): JobStory;
  keep(id: string, story: JobStory): void;
  forget(id: string): void;
  /** Characters, about. */
  readonly held: number;
};

/** Characters of one that has nothing to tell yet. */
const emptyChars = 200;

export function createJobStories(maxChars: number): JobStories {
  const stories = new Map<string, JobStory>();
  let held = 0;

  function forget(id: string): void {
    const known = stories.get(id);
    if (!known || !stories.delete(id)) return;
    held -= known.chars + emptyChars;
  }

  return {
    recall(id) {
      const known = stories.get(id);
      if (!known) return newStory();
      return { ...known, attempts: known.attempts.map((attempt) => ({ ...attempt })) };
    },
    keep(id, story) {
      const known = stories.get(id);
      // Two may have asked at once, and the one that knows less comes last.
      if (known && compareEntryIds(known.cursor, story.cursor) > 0) return;
      forget(id);
      stories.set(id, story);
      held += story.chars + emptyChars;
      for (const oldest of stories.keys()) {
        if (held <= maxChars) break;
        forget(oldest);
      }
    },
    forget,
    get held() {
      return held;
    },
  };
}
