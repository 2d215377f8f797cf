import type { RunsAnswer } from '@millrace/shared/domain/inquiry';
import type { Asked, Inquiries } from '@millrace/shared/store/inquiries/port';
import type { WaitingList } from '@millrace/shared/store/queue/waiting-list';

/** The requests under way at one moment. */
export type LiveSample = {
  /** Milliseconds since the epoch. */
  at: number;
  workers: readonly ({ name: string } & RunsAnswer)[];
  /** Workers that have received the question; some may be too busy to answer. */
  heard: number;
  waiting: WaitingList;
};

export type LiveSamplesOptions = {
  inquiries: Inquiries;
  /** Reads at most so many waiting requests. */
  readWaiting(limit: number): Promise<WaitingList>;
  now?(): number;
};

/** Milliseconds for which all who look share one sample. */
export const freshMs = 500;
/** Waiting requests in a sample. */
export const maxWaiting = 2000;

/** Samples of the fleet, which are taken only when one is asked for. */
export function createLiveSamples(options: LiveSamplesOptions): () => Promise<LiveSample> {
  const { inquiries, readWaiting, now = () => performance.now() } = options;
  let takenAt = -Infinity;
  let sample: Promise<LiveSample> | undefined;

  async function take(): Promise<LiveSample> {
    const [asked, waiting] = await Promise.all([
      inquiries.ask('worker', { kind: 'runs' }),
      readWaiting(maxWaiting),
    ]);
    return { at: Date.now(), workers: workersOf(asked), heard: asked.heard, waiting };
  }

  return () => {
    if (sample && now() - takenAt < freshMs) return sample;
    takenAt = now();
    const taken = take();
    sample = taken;
    // A failure is not shared: the next one who looks asks again.
    taken.catch(() => {
      if (sample === taken) sample = undefined;
    });
    return taken;
  };
}

/** Without answers that another version may have sent in another form. */
function workersOf({ answers }: Asked): LiveSample['workers'] {
  return answers.flatMap(({ name, value }) => {
    const answer = value as RunsAnswer;
    return Array.isArray(answer.runs) && typeof answer.total === 'number'
      ? [{ name, ...answer }]
      : [];
  });
}
