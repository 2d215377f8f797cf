import { finishReasons, usageOf } from '@millrace/shared/domain/chunk';
import { chunkLine, encodeEntry, usageLine } from '@millrace/shared/domain/entry';
import type {
  AttemptEnded,
  AttemptStarted,
  Entry,
  SeamRecord,
} from '@millrace/shared/domain/entry';
import { setMembers } from '@millrace/shared/domain/json-text';
import type { ActivationOutcome } from '@millrace/shared/queue/port';
import type { LogWriter } from './append.ts';
import type { AttemptOutcome } from './attempt.ts';
import { estimateUsage, usageOverSeam } from './failover/continue-body.ts';
import { impliedSpeaker, remember, rememberText, speaks } from './failover/history.ts';
import type { History } from './failover/history.ts';
import type { Step } from './failover/next.ts';
import { plainText } from './failover/shown.ts';
import { costOf, costOfBroken, estimated } from './ledger.ts';
import type { Cost } from './ledger.ts';
import type { RunMetrics } from './metrics.ts';
import { createVoice, rungOf } from './voice.ts';
import type { GiveUp, Spoken, Voice } from './voice.ts';

export type AnswerOptions = {
  run: number;
  /** The request, as the caller sent it. */
  body: string;
  /** The log's story so far; kept up to date with every line. */
  history: History;
  writer: LogWriter;
  holdToolCalls: boolean;
  metrics: Pick<RunMetrics, 'attemptEnded' | 'seam'>;
  /** Characters of chunks that an attempt may keep back. */
  maxHeldChars: number;
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
  /** Writes the attempt's ledger entry; true when the answer is whole by it. */
  ended(
    voice: Voice,
    outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
    firstTokenAt?: number,
  ): boolean;
  /** Writes that the attempt ends here for another worker to go on: nobody was at fault. */
  handOver(voice: Voice, firstTokenAt?: number): void;
  /** Only counts the attempt: its run was stopped, and has nothing more to write. */
  abort(voice: Voice, firstTokenAt?: number): void;
  /** Writes the end of an answer that was whole but for it. */
  complete(): void;
  /** Writes the clear end of a request that nothing can save. */
  fail(step: Extract<Step, { kind: 'fail' }>): void;
  /** How the request ended; undefined while it has not. */
  readonly conclusion: ActivationOutcome | undefined;
};

export function createAnswer(options: AnswerOptions): Answer {
  const { run, body, history, writer, holdToolCalls, maxHeldChars, metrics, now } = options;
  let conclusion: ActivationOutcome | undefined;
  /** The attempt that is heard. */
  let floor: Voice | undefined;
  /** What had been shown when it took the floor. */
  let shownBefore = '';
  /** Lines that changed what readers have. */
  let changes = 0;

  function write(entry: Entry): void {
    remember(history, entry);
    writer.push(encodeEntry(entry));
  }

  /** A line that no reader waits for. */
  function note(entry: Entry): void {
    remember(history, entry);
    writer.note(encodeEntry(entry));
  }

  /** Ends the attempts of which nobody will say how they ended. */
  function closeOpen(outcome: 'worker_lost' | 'superseded' | 'internal_error'): void {
    for (const one of history.tries.filter((each) => each.outcome === 'open')) {
      const { attempt, chars } = one;
      note({
        kind: 'attempt_end',
        data: { run, attempt, at: now(), outcome, ...estimated(chars) },
      });
    }
  }

  function say({ text, content }: Spoken): void {
    changes += 1;
    if (content === undefined) write({ kind: 'chunk', text });
    else {
      rememberText(history, content);
      writer.push(chunkLine(text));
    }
  }

  /** The usage of a whole answer whose upstream was gone before it could tell. */
  function tellEstimate(): Record<string, number> {
    const { shown } = history;
    const usage = estimateUsage(body, shown);
    const chunk = { ...shown.identity, object: 'chat.completion.chunk', choices: [], usage };
    write({ kind: 'usage', text: JSON.stringify(chunk) });
    return usage;
  }

  function end(finishReason: string | null, usage: unknown): void {
    const attempts = history.tries.length;
    history.usage = usage ?? history.usage;
    const done = { finishReason, usage, attempts, at: now() };
    writer.end(encodeEntry({ kind: 'done', data: done }), 'done');
    conclusion = { kind: 'completed', summary: finishReason ?? 'completed' };
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
      holdToolCalls,
      maxHeldChars,
      claim() {
        if (floor !== undefined && floor !== voice) return false;
        // It goes on from what readers had when it was asked, and nothing else.
        if (changes !== fitting) return false;
        floor = voice;
        shownBefore = plainText(history.shown) ?? '';
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
    return voice;
  }

  /** An attempt's end as its ledger entry, and counted. */
  function account({ started }: Voice, cost: Cost, firstTokenAt?: number): AttemptEnded {
    const data = { run, attempt: started.attempt, at: now(), firstTokenAt, ...cost };
    metrics.attemptEnded(started, data);
    return data;
  }

  function ended(
    voice: Voice,
    outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
    firstTokenAt?: number,
  ): boolean {
    // Its entry was written with the end.
    if (conclusion) {
      account(voice, costOf(voice, outcome, false), firstTokenAt);
      return false;
    }
    const isWhole = outcome.kind === 'completed' && voice.finish();
    if (floor === voice && !isWhole) floor = undefined;
    const rung = rungOf(voice.started);
    if (isWhole && outcome.result) write({ kind: 'result', data: outcome.result });
    let usage = isWhole ? usageOverSeam(outcome.usage, rung, shownBefore) : undefined;
    if (isWhole && outcome.isCut && outcome.usage === undefined) usage = tellEstimate();
    else if (isWhole && voice.usage !== undefined) {
      writer.push(usageLine(setMembers(voice.usage, { usage: JSON.stringify(usage ?? null) })));
    }
    const data = account(voice, costOf(voice, outcome, isWhole), firstTokenAt);
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
    ended,
    handOver(voice, firstTokenAt) {
      const data = account(voice, costOfBroken(voice, 'handed_over'), firstTokenAt);
      note({ kind: 'attempt_end', data });
    },
    abort(voice, firstTokenAt) {
      account(voice, costOfBroken(voice, 'aborted'), firstTokenAt);
    },
    complete() {
      const { shown, result } = history;
      if (result) {
        const whole: unknown = JSON.parse(result.body);
        end(finishReasons(whole)[0]?.reason ?? null, usageOf(whole));
        return;
      }
      // Its usage comes behind the last chunk, so the worker that had it has taken it along.
      const usage = history.usage ?? tellEstimate();
      end(shown.finished.get(0) ?? null, usage);
    },
    fail(step) {
      // None is left, but where a bug has ended the run.
      closeOpen('internal_error');
      writer.end(encodeEntry({ kind: 'failed', data: { ...step.failed, at: now() } }), 'failed');
      const { code, message } = step.failed.error;
      conclusion = { kind: 'failed', reason: `${code ?? 'error'}: ${message}` };
    },
    get conclusion() {
      return conclusion;
    },
  };
}
