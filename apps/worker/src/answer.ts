import { chunkLine, encodeEntry, usageLine } from '@millrace/shared/domain/entry';
import type { AttemptStarted, Entry, SeamRecord } from '@millrace/shared/domain/entry';
import { setMembers } from '@millrace/shared/domain/json-text';
import type { ActivationOutcome } from '@millrace/shared/queue/port';
import type { LogWriter } from './append.ts';
import type { AttemptOutcome } from './attempt.ts';
import { estimateTokens, usageOverSeam } from './failover/continue-body.ts';
import { remember, rememberText, speaks } from './failover/history.ts';
import type { History } from './failover/history.ts';
import type { Step } from './failover/next.ts';
import { plainText } from './failover/shown.ts';
import { createVoice, rungOf } from './voice.ts';
import type { GiveUp, Spoken, Voice } from './voice.ts';

export type AnswerOptions = {
  run: number;
  /** The log's story so far; kept up to date with every line. */
  history: History;
  writer: LogWriter;
  holdToolCalls: boolean;
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
  /** Writes that an attempt starts; what it brings goes to the voice. */
  open(step: AttemptStep, events: VoiceEvents): Voice;
  /** Writes the attempt's ledger entry; true when the answer is whole by it. */
  ended(
    voice: Voice,
    outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
    firstTokenAt?: number,
  ): boolean;
  /** Writes that the attempt ends here for another worker to go on: nobody was at fault. */
  handOver(voice: Voice): void;
  /** Writes the end of an answer that was whole but for it. */
  complete(): void;
  /** Writes the clear end of a request that nothing can save. */
  fail(step: Extract<Step, { kind: 'fail' }>): void;
  /** How the request ended; undefined while it has not. */
  readonly conclusion: ActivationOutcome | undefined;
};

export function createAnswer(options: AnswerOptions): Answer {
  const { run, history, writer, holdToolCalls, maxHeldChars, now } = options;
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

  function say({ text, content }: Spoken): void {
    changes += 1;
    if (content === undefined) write({ kind: 'chunk', text });
    else {
      rememberText(history, content);
      writer.push(chunkLine(text));
    }
  }

  function end(finishReason: string | null, usage: unknown): void {
    const attempts = history.tries.length;
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
    const offset = plainText(history.shown)?.length ?? 0;
    const seam = (outcome: SeamRecord['outcome']) => {
      if (rung) write({ kind: 'seam', data: { attempt, rung, offset, outcome } });
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
        if (rung) seam('passed');
        else speaks(history, attempt);
      },
      say,
      fail: seam,
      giveUp,
    });
    return voice;
  }

  function ended(
    voice: Voice,
    outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
    firstTokenAt?: number,
  ): boolean {
    const { attempt } = voice.started;
    const isWhole = outcome.kind === 'completed' && voice.finish();
    if (floor === voice && !isWhole) floor = undefined;
    const rung = rungOf(voice.started);
    if (isWhole && outcome.result) write({ kind: 'result', data: outcome.result });
    const usage = isWhole ? usageOverSeam(outcome.usage, rung, shownBefore) : undefined;
    if (isWhole && voice.usage !== undefined) {
      writer.push(usageLine(setMembers(voice.usage, { usage: JSON.stringify(usage ?? null) })));
    }
    note({
      kind: 'attempt_end',
      data: { run, attempt, at: now(), firstTokenAt, ...ledger(voice, outcome, isWhole) },
    });
    if (!isWhole) return false;
    end(outcome.finishReason, usage);
    return true;
  }

  return {
    open,
    ended,
    handOver(voice) {
      const { attempt } = voice.started;
      const data = { run, attempt, at: now(), outcome: 'handed_over', ...estimate(voice) };
      note({ kind: 'attempt_end', data });
    },
    complete() {
      // The last usage line may have been lost with the worker that had it.
      end(history.shown.finished.get(0) ?? null, undefined);
    },
    fail(step) {
      writer.end(encodeEntry({ kind: 'failed', data: { ...step.failed, at: now() } }), 'failed');
      const { code, message } = step.failed.error;
      conclusion = { kind: 'failed', reason: `${code ?? 'error'}: ${message}` };
    },
    get conclusion() {
      return conclusion;
    },
  };
}

/** What an attempt cost. One that ended without telling is counted from what it sent, and says so. */
function ledger(
  voice: Voice,
  outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
  isWhole: boolean,
): { outcome: string; usage?: unknown; estimated?: true } {
  if (outcome.kind === 'completed') {
    return {
      outcome: isWhole ? 'completed' : (voice.gaveUp ?? 'superseded'),
      usage: outcome.usage,
    };
  }
  const how = outcome.kind === 'superseded' ? 'superseded' : outcome.fault.code;
  return { outcome: how, ...estimate(voice) };
}

const estimate = ({ chars }: Voice): { usage?: unknown; estimated?: true } =>
  chars === 0 ? {} : { usage: { completion_tokens: estimateTokens(chars) }, estimated: true };
