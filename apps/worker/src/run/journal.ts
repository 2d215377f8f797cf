import { parseShallow } from '@millrace/shared/domain/json';
import { finishReasons, usageOf } from '@millrace/shared/domain/chunk';
import { chunkLine, encodeEntry } from '@millrace/shared/domain/entry';
import type {
  AttemptEnded,
  AttemptStarted,
  Entry,
  SeamRecord,
} from '@millrace/shared/domain/entry';
import { setMembers } from '@millrace/shared/domain/json-text';
import type { ActivationOutcome } from '@millrace/shared/store/queue/port';
import type { LogWriter } from './appender.ts';
import type { AttemptOutcome } from './attempt.ts';
import { continueBody, promptTokens } from '../continuation/continue-body.ts';
import {
  impliedSpeaker,
  promptReport,
  remember,
  rememberText,
  speaks,
} from '../continuation/history.ts';
import type { History } from '../continuation/history.ts';
import type { Step } from '../continuation/plan.ts';
import { key } from '../continuation/delivered.ts';
import { costOf, costOfCalledOff, sentIn } from './ledger.ts';
import type { Cost, Work } from './ledger.ts';
import type { RunMetrics } from '../observe/metrics.ts';
import { createVoice, rungOf } from './output-gate.ts';
import { unknownLast, visibleUsage } from './visible-usage.ts';
import type { LastAttempt, Usage } from './visible-usage.ts';
import type { GiveUp, Spoken, Voice } from './output-gate.ts';

export type AnswerOptions = {
  run: number;
  /** The request, as the caller sent it. */
  body: string;
  /** The log's story so far; kept up to date with every line. */
  history: History;
  writer: LogWriter;
  /** The request offers tools. */
  tools: boolean;
  holdToolCalls: boolean;
  metrics: Pick<RunMetrics, 'attemptEnded' | 'seam'>;
  /** Characters of chunks that an attempt may keep back. */
  maxHeldChars: number;
  /** A part of the answer was written for its readers. Called each time. */
  onShown?: (() => void) | undefined;
  /** Characters of the lines that are in the log already, and that the log of a stream may have. */
  loggedChars: number;
  maxLogChars: number;
  now(): number;
};

type AttemptStep = Extract<Step, { kind: 'attempt' }>;

export type VoiceEvents = {
  /** The attempt is heard from now on. */
  onFloor(): void;
  giveUp(reason: GiveUp): void;
};

/** The run's side of the log: every line that it writes passes here, in order. */
export type Answer = {
  /** Writes the end of the attempts that other workers left open, each with what it is known to have cost. */
  closeLost(): void;
  /** Writes that an attempt starts; what it brings goes to the voice. */
  open(step: AttemptStep, events: VoiceEvents): Voice;
  /** The call of the attempt is not made after all: it costs nothing. */
  spare(voice: Voice): void;
  /** Writes the attempt's ledger entry; true when the answer is whole by it. */
  ended(
    voice: Voice,
    outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
    firstTokenAt?: number,
  ): boolean;
  /** Writes that the attempt ends here for another worker to go on: nobody was at fault. */
  handOver(voice: Voice, firstTokenAt?: number): void;
  /** Counts and remembers the attempt: its run was stopped, and can write no more to the log. */
  abort(voice: Voice, firstTokenAt?: number): void;
  /** Writes the end of an answer that was whole but for it. */
  complete(): void;
  /** Writes the clear end of a request that nothing can save. */
  fail(step: Extract<Step, { kind: 'fail' }>): void;
  /** How the request ended; undefined while it has not. */
  readonly conclusion: ActivationOutcome | undefined;
};

export function createAnswer(options: AnswerOptions): Answer {
  const { run, body, history, writer, tools, holdToolCalls, maxHeldChars, maxLogChars } = options;
  const { metrics, onShown, now } = options;
  let conclusion: ActivationOutcome | undefined;
  /** The attempt that is heard. */
  let floor: Voice | undefined;
  /** Estimated tokens that had been shown when it took the floor. */
  let shownBefore = 0;
  /** By attempt: those that this run opened and that have no end yet. */
  const voices = new Map<number, Voice>();
  /** Attempts whose call was not made. */
  const spared = new Set<number>();
  /** Lines that changed what readers have. */
  let changes = 0;
  let logChars = options.loggedChars;

  function push(line: string): void {
    logChars += line.length;
    writer.push(line);
  }

  function write(entry: Entry): void {
    remember(history, entry);
    push(encodeEntry(entry));
  }

  /** A line that no reader waits for. */
  function note(entry: Entry): void {
    remember(history, entry);
    const line = encodeEntry(entry);
    logChars += line.length;
    writer.note(line);
  }

  /** Ends the attempts that are still open, by what is known of them. */
  function closeOpen(outcome: 'worker_lost' | 'superseded' | 'internal_error'): void {
    for (const { attempt } of history.tries.filter((each) => each.outcome === 'open')) {
      const cost = costOfCalledOff(workOf(attempt), outcome);
      note({ kind: 'attempt_end', data: { run, attempt, at: now(), ...cost } });
    }
  }

  const ownPrompt = () => promptTokens(body);

  /** What an attempt is known to have done: one of this run, or one that the log tells of. */
  function workOf(attempt: number): Work {
    const one = history.tries.find((each) => each.attempt === attempt);
    const { sent, told } = voices.get(attempt) ?? {
      sent: { tokens: one?.tokens ?? 0, reasoning: 0 },
      told: undefined,
    };
    const asked = () => {
      if (one?.mode !== 'continue' && one?.mode !== 'anchor') return ownPrompt();
      const text = history.shown.texts.get(key(0, 'content')) ?? '';
      return promptTokens(continueBody(body, one.mode, text.slice(0, one.offset)));
    };
    return { sent, told, asked, isSpared: spared.has(attempt) };
  }

  function say({ text, content }: Spoken): void {
    changes += 1;
    onShown?.();
    if (content === undefined) write({ kind: 'chunk', text });
    else {
      rememberText(history, content);
      push(chunkLine(text));
    }
  }

  /** The usage of the whole answer. `last`: the attempt that ended it. */
  const usageBy = (last: LastAttempt): Usage =>
    visibleUsage({
      prompt: ownPrompt,
      promptReport: promptReport(history),
      before: shownBefore,
      fresh: history.shown.tokens - shownBefore,
      last,
    });

  /** Writes the usage of a streamed answer, unless its last chunks had it. `chunk`: its target's own, if any. */
  function tellUsage(usage: Usage, chunk: string | undefined): void {
    const text = JSON.stringify(usage);
    const isTold = (told: unknown) => JSON.stringify(told) === text;
    if (chunk === undefined && isTold(history.usage)) return;
    const bare = { ...history.shown.identity, object: 'chat.completion.chunk', choices: [] };
    const own = chunk ?? JSON.stringify(bare);
    const isOwn = chunk !== undefined && isTold(usageOf(JSON.parse(chunk)));
    write({ kind: 'usage', text: isOwn ? own : setMembers(own, { usage: text }) });
  }

  function end(finishReason: string | null, usage: unknown): void {
    const attempts = history.tries.length;
    history.usage = usage ?? history.usage;
    const done = { finishReason, usage, attempts, at: now() };
    conclusion = { kind: 'completed', summary: finishReason ?? 'completed' };
    writer.end(encodeEntry({ kind: 'done', data: done }), 'done', conclusion);
  }

  function open(step: AttemptStep, { onFloor, giveUp }: VoiceEvents): Voice {
    if (step.mode === 'restart') {
      changes += 1;
      write({ kind: 'reset', data: { reason: 'restart' } });
    }
    const fitting = changes;
    const { provider, model } = step.route;
    const attempt = history.tries.length + 1;
    const started: AttemptStarted = { run, attempt, provider, model, mode: step.mode, at: now() };
    note({ kind: 'attempt', data: started });
    const rung = rungOf(started);
    const offset = history.shown.chars;
    const seam = (outcome: SeamRecord['outcome']) => {
      write({ kind: 'seam', data: { attempt, rung: step.mode, offset, outcome } });
      if (rung) metrics.seam(rung, outcome);
    };
    const voice: Voice = createVoice({
      started,
      shown: history.shown,
      tools,
      holdToolCalls,
      maxHeldChars,
      isLogFull: () => logChars > maxLogChars,
      claim() {
        if (floor !== undefined && floor !== voice) return false;
        // It goes on from what readers had when it was asked, and nothing else.
        if (changes !== fitting) return false;
        floor = voice;
        shownBefore = history.shown.tokens;
        onFloor();
        return true;
      },
      begin() {
        // One that begins the answer is known by its chunks, where no other may be taken for it.
        if (rung || impliedSpeaker(history)?.attempt !== attempt) seam('passed');
        else speaks(history, attempt);
      },
      say,
      fail: seam,
      giveUp,
    });
    voices.set(attempt, voice);
    return voice;
  }

  /** An attempt's end as its ledger entry, and counted. */
  function account({ started }: Voice, cost: Cost, firstTokenAt?: number): AttemptEnded {
    const data = { run, attempt: started.attempt, at: now(), firstTokenAt, ...cost };
    voices.delete(started.attempt);
    metrics.attemptEnded(started, data);
    return data;
  }

  function ended(
    voice: Voice,
    outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
    firstTokenAt?: number,
  ): boolean {
    const { attempt } = voice.started;
    // Its entry was written with the end.
    if (conclusion) {
      account(voice, costOf(workOf(attempt), outcome, 'superseded'), firstTokenAt);
      return false;
    }
    const isWhole = outcome.kind === 'completed' && voice.finish();
    if (floor === voice && !isWhole) floor = undefined;
    const rung = rungOf(voice.started);
    if (isWhole && outcome.result) write({ kind: 'result', data: outcome.result });
    const known = workOf(attempt);
    const result = outcome.kind === 'completed' && !outcome.usage ? outcome.result : undefined;
    // What is not streamed was not counted on its way.
    const work = result ? { ...known, sent: sentIn(parseShallow(result.body)) } : known;
    const how = isWhole ? 'completed' : (voice.gaveUp ?? 'superseded');
    const cost = costOf(work, outcome, how);
    let usage: Usage | undefined;
    if (isWhole) {
      const { sent, asked } = work;
      usage = usageBy({ rung, cost, asked, sent: sent.tokens - sent.reasoning });
      // A provider that ends its stream in order and counts nothing is shown as it is.
      const isUncounted = cost.estimated === 'all' && !outcome.isCut;
      if (!outcome.result && !isUncounted) tellUsage(usage, voice.usage);
    }
    const data = account(voice, cost, firstTokenAt);
    if (outcome.kind === 'fault') data.detail = outcome.fault.detail;
    note({ kind: 'attempt_end', data });
    if (!isWhole) return false;
    // One beside it that was silent to its end is called off only now.
    closeOpen('superseded');
    end(outcome.finishReason, usage);
    return true;
  }

  return {
    closeLost: () => closeOpen('worker_lost'),
    open,
    spare: (voice) => void spared.add(voice.started.attempt),
    ended,
    handOver(voice, firstTokenAt) {
      const cost = costOfCalledOff(workOf(voice.started.attempt), 'handed_over');
      const data = account(voice, cost, firstTokenAt);
      note({ kind: 'attempt_end', data });
    },
    abort(voice, firstTokenAt) {
      const cost = costOfCalledOff(workOf(voice.started.attempt), 'aborted');
      history.stopped.push(account(voice, cost, firstTokenAt));
    },
    complete() {
      const { shown, result } = history;
      if (result) {
        const whole = parseShallow(result.body);
        end(finishReasons(whole)[0]?.reason ?? null, usageOf(whole));
        return;
      }
      // Its usage comes behind the last chunk, so the worker that had it has taken it along.
      if (history.usage === undefined) tellUsage(usageBy(unknownLast), undefined);
      end(shown.finished.get(0) ?? null, history.usage);
    },
    fail(step) {
      // None is left, but where a bug has ended the run.
      closeOpen('internal_error');
      const { code, message } = step.failed.error;
      conclusion = { kind: 'failed', reason: `${code ?? 'error'}: ${message}` };
      const line = encodeEntry({ kind: 'failed', data: { ...step.failed, at: now() } });
      writer.end(line, 'failed', conclusion);
    },
    get conclusion() {
      return conclusion;
    },
  };
}
