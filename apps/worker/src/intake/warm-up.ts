import { chunkLine, encodeEntry } from '@millrace/shared/domain/entry';
import { newRequestId } from '@millrace/shared/domain/request';
import type { Target } from '@millrace/shared/domain/request';
import type { Sealed } from '@millrace/shared/domain/seal';
import type { Keyspace } from '@millrace/shared/store/keys';
import { appendCall, endsLast } from '@millrace/shared/store/stream-log/append-call';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import type { ActivationOutcome } from '@millrace/shared/store/queue/port';
import { createAppender } from '../run/appender.ts';
import { startAttempt } from '../run/attempt.ts';
import { openAiChat } from '@millrace/formats/openai-chat/provider';
import { run } from '../run/run.ts';
import type { CallOptions, RunDeps } from '../run/port.ts';
import type { Upstream } from '../upstream/call.ts';
import type { TargetAccess, Permit } from '../upstream/target-access.ts';

/*
 * A new process takes twice the CPU for its first streams, and those may be a hundred that another worker
 * lost. So a worker serves synthetic streams before it takes jobs: they run the code of a takeover inside
 * this process, without a call to a provider or Redis, a metric or a log line.
 */

export type WarmUpOptions = {
  /** The key names of the appended items. */
  keys: Keyspace;
  /** Number of streams; `atOnce` run concurrently. Default 100. */
  streams?: number;
  /** Milliseconds after which no further stream begins, so that a slow machine starts in time. Default 500. */
  withinMs?: number;
  /** Called with the outcome and the lines of each stream; for tests. */
  onEnded?: (outcome: ActivationOutcome, lines: readonly string[]) => void;
};

const atOnce = 20;

const model = 'warm-up';
const lost: Target = { provider: 'warm-up-lost', model };
const targets: Target[] = [lost, { provider: 'warm-up', model }];
const body =
  '{"model":"warm-up","stream":true,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Count."}]}';
const shownWords = 20;
const freshWords = 20;

const chunk = (delta: object, finishReason: string | null = null): string =>
  JSON.stringify({
    id: 'chatcmpl-warm-up',
    object: 'chat.completion.chunk',
    created: 0,
    model,
    choices: [{ index: 0, delta, finish_reason: finishReason }],
  });
const words = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => chunk({ content: ` word${from + i}` }));

/** The log that a dead worker left of a stream that began now. */
function pastAt(at: number): string[] {
  const data = { run: 1, attempt: 1, ...lost, mode: 'start' as const, at };
  const chunks = [chunk({ role: 'assistant', content: '' }), ...words(0, shownWords)];
  return [encodeEntry({ kind: 'attempt', data }), ...chunks.map(chunkLine)];
}

/** The response of the next target, in pieces as a socket delivers them. */
const pieces = [
  chunk({ role: 'assistant', content: '' }),
  ...words(shownWords, freshWords),
  chunk({}, 'stop'),
  '[DONE]',
].map((data) => Buffer.from(`data: ${data}\n\n`));

/**
 * Serves `streams` streams as after a takeover: each has a part of its answer in its log and continues at
 * another target. Resolves when the last one has ended; rejects only on a bug.
 */
export async function warmUp({
  keys,
  streams = 100,
  withinMs = 500,
  onEnded,
}: WarmUpOptions): Promise<void> {
  const endAt = performance.now() + withinMs;
  const written = new Map<string, string[]>();
  const errors: unknown[] = [];
  const deps = dryDeps(keys, { written, errors });
  for (let begun = 0; begun < streams && performance.now() < endAt; begun += atOnce) {
    const ids = Array.from({ length: Math.min(atOnce, streams - begun) }, () =>
      newRequestId(0, Date.now()),
    );
    const outcomes = await Promise.all(ids.map((id) => run(activationOf(id), deps)));
    outcomes.forEach((outcome, i) => onEnded?.(outcome, written.get(ids[i] ?? '') ?? []));
    written.clear();
    if (errors.length > 0) throw errors[0];
  }
}

function activationOf(id: string) {
  const at = Date.now();
  const token = `${id}:token`;
  const texts = pastAt(at);
  const last = { run: 1, seq: texts.length };
  const sealed: Sealed = {
    claim: { activation: 2, nonce: token, worker: 'warm-up' },
    outcome: {
      kind: 'sealed',
      run: 2,
      last,
      entries: 3,
      body,
      past: { entries: [{ at, texts }], through: last },
    },
    at,
  };
  const data = {
    model,
    endpoint: '/v1/chat/completions' as const,
    stream: true,
    reader: 'plain' as const,
    attached: true,
    targets,
    createdAt: at,
  };
  return { id, number: 2, data, token, sealed, lockLost: new AbortController().signal };
}

/** The dependencies of a run, without Redis or providers. */
function dryDeps(
  keys: Keyspace,
  { written, errors }: { written: Map<string, string[]>; errors: unknown[] },
): RunDeps {
  const onError = (error: unknown) => void errors.push(error);
  const append: StreamLog['append'] = async (shard, items) => {
    const ordered = endsLast(items);
    appendCall(ordered, { keys, shard, retentionMs: 0, now: Date.now() });
    for (const { id, lines } of items) {
      const before = written.get(id);
      if (before) before.push(...lines);
      else written.set(id, [...lines]);
    }
    return items.map(({ job }) => (job ? 'job_ended' : 'written'));
  };
  return {
    log: { seal: notAsked, read: notAsked, amend: notAsked },
    appender: createAppender({ log: { append }, maxHeldBytes: 1e6, onError }),
    worker: 'warm-up',
    metrics: { runStarted() {}, runEnded() {}, attemptEnded() {}, seam() {} },
    settlement: { begin() {}, settle() {}, forget() {} },
    hasLedger: true,
    maxHeldChars: 1e6,
    maxLogChars: 1e6,
    policy: () => undefined,
    routes: (asked) => asked.map((target) => ({ ...target, prefill: true })),
    openTargets: ({ routes }) => openGate(routes),
    call,
    mayHedge: () => false,
    returnHedge() {},
    register: () => () => {},
    timesLate: () => 0,
    onError,
    now: Date.now,
    random: () => 0,
  };
}

const notAsked = (): Promise<never> => Promise.reject(new Error('the warm-up asks no log'));

const permit: Permit = {
  apiKey: undefined,
  begin: () => ({ head() {}, firstToken() {}, ended() {} }),
  cancel() {},
};

const openGate = (routes: Parameters<RunDeps['openTargets']>[0]['routes']): TargetAccess => ({
  candidates: () => ({ open: routes, shut: [] }),
  opensAt: () => 0,
  acquire: () => permit,
  hasOtherKey: () => false,
  wait: () => Promise.resolve({ kind: 'aborted' }),
  whyShut: () => '',
  requeue: () => false,
  close() {},
});

function call({ activation, target, body: asked, mode, identity, ...rest }: CallOptions) {
  return startAttempt({
    dispatcher: upstream,
    format: openAiChat,
    call: {
      body: asked,
      stream: activation.data.stream,
      model: target.model,
      baseUrl: 'http://warm-up.invalid/v1',
      apiKey: undefined,
      traceparent: undefined,
      prefill: mode === 'continue',
      omitsStreamOptions: false,
      identity,
    },
    timeouts: { firstTokenTimeoutMs: 60_000, idleTimeoutMs: 60_000 },
    maxResponseBytes: 1e6,
    ...rest,
  });
}

/** Answers from memory, one piece in each turn of the event loop. */
const upstream: Upstream = {
  dispatch(_options, handler) {
    const control = {
      aborted: false,
      paused: false,
      reason: null,
      abort() {},
      pause() {},
      resume() {},
    };
    handler.onRequestStart?.(control, {});
    let sent = 0;
    const next = (): void => {
      const piece = pieces[sent];
      if (sent === 0) {
        handler.onResponseStart?.(control, 200, { 'content-type': 'text/event-stream' });
      }
      sent += 1;
      if (piece) {
        handler.onResponseData?.(control, piece);
        setImmediate(next);
      } else handler.onResponseEnd?.(control, {});
    };
    setImmediate(next);
  },
};
