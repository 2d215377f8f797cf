import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ApiFailure, call } from '../../api/client.ts';
import { toFailure } from '../../api/use-poll.ts';
import { tell } from '../../ui/actions.tsx';
import type { Fault } from './events.ts';
import { cancelJob, createJob, readJob } from './job-stream.ts';
import type { Cutter, JobBody } from './job-stream.ts';
import { clockNow, keepAnswer, keptAnswer } from './kept.ts';
import { addEvent, failWith, isOver, startTranscript } from './transcript.ts';
import type { Transcript } from './transcript.ts';

/** One answer: the newest state of its stream, and what the operator did to it. */
export type Answer = {
  id: string | undefined;
  transcript: Transcript;
  faults: readonly Fault[];
  /** The id of its last event; undefined: none came, or none has an id. */
  after: string | undefined;
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

/** Faults that are kept for one answer. */
const maxFaults = 50;
/** Why the reader of an answer stops: the page is left, and the request goes on. */
const isLeft = 'left';

/**
 * Streams one answer at a time. The state is rendered once per frame, however many chunks come. A request whose page is left
 * or loaded anew goes on; the page reads on behind the last event that it had.
 */
export function useAnswer(): AnswerControl {
  const [answer, setAnswer] = useState<Answer | undefined>(keptAnswer);
  const latest = useRef(answer);
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

  const read = useCallback(
    (source: Source) => {
      const over = new AbortController();
      const cutter: Cutter = { cut() {} };
      run.current = { over, cutter };
      const ofThisRun = (change: (before: Answer) => Answer) => {
        if (!over.signal.aborted) update(change);
      };
      void stream(source, { signal: over.signal, cutter, update: ofThisRun });
    },
    [update],
  );

  const note = useCallback(
    (action: Fault['action'], at: number, subject?: string) =>
      update((before) => {
        const fault: Fault = { action, at, token: before.transcript.tokens, subject };
        return { ...before, faults: [...before.faults, fault].slice(-maxFaults) };
      }),
    [update],
  );

  useEffect(() => {
    const found = latest.current;
    if (found?.id !== undefined && !isOver(found.transcript)) {
      note('reload', clockNow());
      read({ id: found.id, after: found.after });
    }
    const keep = () => keepAnswer(latest.current);
    addEventListener('pagehide', keep);
    return () => {
      removeEventListener('pagehide', keep);
      keep();
      cancelAnimationFrame(frame.current);
      const { current } = latest;
      if (current && !isOver(current.transcript)) {
        tell('The answer goes on: the playground shows it when you come back.');
      }
      run.current?.over.abort(isLeft);
    };
  }, [note, read]);

  const send = useCallback(
    (body: JobBody) => {
      drop();
      latest.current = newAnswer(undefined);
      setAnswer(latest.current);
      read({ body });
    },
    [drop, read],
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
      transcript: addEvent(before.transcript, 'cancelled', {}, clockNow()),
    }));
  }, [update]);

  const breakIt = useCallback(
    async (action: ChaosAction) => {
      const request = latest.current?.id;
      // Noted before the call: the seam can come before its answer.
      const at = clockNow();
      const { done } = await call<{ done: readonly unknown[] }>('chaos', {
        method: 'POST',
        body: { action, ...(request === undefined ? {} : { request }) },
      });
      note(action, at, subjectOf(done[0]));
    },
    [note],
  );

  const cutConnection = useCallback(() => {
    note('connection', clockNow());
    run.current?.cutter.cut();
  }, [note]);

  const clear = useCallback(() => {
    drop();
    latest.current = undefined;
    keepAnswer(undefined);
    setAnswer(undefined);
  }, [drop]);

  return { answer, send, stop, breakIt, cutConnection, clear };
}

const newAnswer = (id: string | undefined): Answer => ({
  id,
  transcript: startTranscript(clockNow()),
  faults: [],
  after: undefined,
  isReconnecting: false,
});

type Update = (change: (before: Answer) => Answer) => void;

/** A new request, or one whose stream is read on. */
type Source = { body: JobBody } | { id: string; after: string | undefined };

async function stream(
  source: Source,
  { signal, cutter, update }: { signal: AbortSignal; cutter: Cutter; update: Update },
): Promise<void> {
  try {
    const id = 'id' in source ? source.id : await createJob(source.body);
    if (signal.aborted && signal.reason !== isLeft) return await cancelJob(id);
    if (signal.aborted) return keepAnswer(newAnswer(id));
    update((before) => ({ ...before, id }));
    await readJob(
      id,
      {
        event(name, data, entry) {
          const at = clockNow();
          update((before) => ({
            ...before,
            after: entry ?? before.after,
            isReconnecting: false,
            transcript: addEvent(before.transcript, name, data, at),
          }));
        },
        broken: () => update((before) => ({ ...before, isReconnecting: true })),
      },
      { signal, cutter, after: 'id' in source ? source.after : undefined },
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
    transcript: failWith(before.transcript, code, message, clockNow()),
  });
};

/** What the control plane says it broke: a text, or an object that names a worker or a provider. */
export function subjectOf(done: unknown): string | undefined {
  if (typeof done === 'string') return done;
  if (typeof done !== 'object' || done === null) return undefined;
  const { worker, provider } = done as { worker?: unknown; provider?: unknown };
  return [worker, provider].find((name): name is string => typeof name === 'string');
}
