import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ApiFailure, call } from '../../api/client.ts';
import { toFailure } from '../../api/use-poll.ts';
import { tell } from '../../ui/actions.tsx';
import type { Deed } from './happenings.ts';
import { cancelJob, createJob, readJob } from './job-stream.ts';
import type { Cutter, JobBody } from './job-stream.ts';
import { addEvent, failWith, isOver, startTranscript } from './transcript.ts';
import type { Transcript } from './transcript.ts';

/** One answer: the newest state of its stream, and what the operator broke. */
export type Answer = {
  id: string | undefined;
  transcript: Transcript;
  deeds: readonly Deed[];
  /** The connection is away at this moment. */
  isReconnecting: boolean;
};

export type ChaosAction = 'kill-worker' | 'cut' | 'stall';

export type AnswerControl = {
  answer: Answer | undefined;
  send(body: JobBody): void;
  /** Cancels the request. */
  stop(): void;
  /** @throws ApiFailure */
  breakIt(action: ChaosAction): Promise<void>;
  cutConnection(): void;
  clear(): void;
};

/** Deeds that are kept for one answer. */
const maxDeeds = 50;

/**
 * Streams one answer at a time. The state is rendered once per frame, however many chunks come. Leaving the page cancels the
 * request.
 */
export function useAnswer(): AnswerControl {
  const [answer, setAnswer] = useState<Answer | undefined>(undefined);
  const latest = useRef<Answer | undefined>(undefined);
  const run = useRef<{ over: AbortController; cutter: Cutter } | undefined>(undefined);
  const frame = useRef(0);

  const update = useCallback((change: (before: Answer) => Answer) => {
    if (!latest.current) return;
    latest.current = change(latest.current);
    if (frame.current !== 0) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      setAnswer(latest.current);
    });
  }, []);

  const drop = useCallback(() => {
    const { current } = latest;
    run.current?.over.abort();
    run.current = undefined;
    // Nothing reads it any more, and it would cost tokens.
    if (current?.id !== undefined && !isOver(current.transcript)) {
      void cancelJob(current.id).catch(() => {});
    }
  }, []);

  useEffect(
    () => () => {
      cancelAnimationFrame(frame.current);
      drop();
    },
    [drop],
  );

  const send = useCallback(
    (body: JobBody) => {
      drop();
      const over = new AbortController();
      const cutter: Cutter = { cut() {} };
      run.current = { over, cutter };
      latest.current = {
        id: undefined,
        transcript: startTranscript(performance.now()),
        deeds: [],
        isReconnecting: false,
      };
      setAnswer(latest.current);
      const ofThisRun = (change: (before: Answer) => Answer) => {
        if (!over.signal.aborted) update(change);
      };
      void stream(body, { signal: over.signal, cutter, update: ofThisRun });
    },
    [drop, update],
  );

  const stop = useCallback(() => {
    const id = latest.current?.id;
    if (id !== undefined) {
      // The answer goes on then.
      cancelJob(id).catch((error: unknown) => tell(toFailure(error).message, 'bad'));
      return;
    }
    // It is cancelled as soon as its id is known.
    run.current?.over.abort();
    update((before) => ({
      ...before,
      transcript: addEvent(before.transcript, 'cancelled', {}, performance.now()),
    }));
  }, [update]);

  const note = useCallback(
    (action: Deed['action'], at: number, subject?: string) =>
      update((before) => {
        const deed: Deed = { action, at, token: before.transcript.tokens, subject };
        return { ...before, deeds: [...before.deeds, deed].slice(-maxDeeds) };
      }),
    [update],
  );

  const breakIt = useCallback(
    async (action: ChaosAction) => {
      const request = latest.current?.id;
      // Noted before the call: the seam can come before its answer.
      const at = performance.now();
      const { done } = await call<{ done: readonly unknown[] }>('chaos', {
        method: 'POST',
        body: { action, ...(request === undefined ? {} : { request }) },
      });
      note(action, at, subjectOf(done[0]));
    },
    [note],
  );

  const cutConnection = useCallback(() => {
    note('connection', performance.now());
    run.current?.cutter.cut();
  }, [note]);

  const clear = useCallback(() => {
    drop();
    latest.current = undefined;
    setAnswer(undefined);
  }, [drop]);

  return { answer, send, stop, breakIt, cutConnection, clear };
}

type Update = (change: (before: Answer) => Answer) => void;

async function stream(
  body: JobBody,
  { signal, cutter, update }: { signal: AbortSignal; cutter: Cutter; update: Update },
): Promise<void> {
  try {
    const id = await createJob(body);
    if (signal.aborted) return await cancelJob(id);
    update((before) => ({ ...before, id }));
    await readJob(
      id,
      {
        event(name, data) {
          const at = performance.now();
          update((before) => ({
            ...before,
            isReconnecting: false,
            transcript: addEvent(before.transcript, name, data, at),
          }));
        },
        broken: () => update((before) => ({ ...before, isReconnecting: true })),
      },
      { signal, cutter },
    );
    update((before) => ({ ...before, isReconnecting: false }));
  } catch (error) {
    if (!signal.aborted) update(failed(error));
  }
}

const failed = (error: unknown) => {
  const { code, message }: ApiFailure = toFailure(error);
  return (before: Answer): Answer => ({
    ...before,
    isReconnecting: false,
    transcript: failWith(before.transcript, code, message, performance.now()),
  });
};

/** What the control plane says it broke: a text, or an object that names a worker or a provider. */
export function subjectOf(done: unknown): string | undefined {
  if (typeof done === 'string') return done;
  if (typeof done !== 'object' || done === null) return undefined;
  const { worker, provider } = done as { worker?: unknown; provider?: unknown };
  return [worker, provider].find((name): name is string => typeof name === 'string');
}
