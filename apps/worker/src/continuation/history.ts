import { parseShallow, isJsonObject } from '@millrace/shared/domain/json';
import { usageOf } from '@millrace/formats/openai-chat/chunk';
import { decodeEntry } from '@millrace/shared/domain/entry';
import type {
  AttemptEnded,
  AttemptMode,
  AttemptStarted,
  Entry,
  Result,
  SeamRecord,
} from '@millrace/shared/domain/entry';
import { progressOf } from './progress.ts';
import { addChunk, addText, channelKey, nothingDelivered } from './delivered.ts';
import type { Delivered } from './delivered.ts';

/** One attempt, as far as what comes next depends on it. */
export type AttemptState = {
  attempt: number;
  provider: string;
  model: string;
  mode: AttemptMode;
  /** As its end in the log says, or `open` while nothing ended it. */
  outcome: string;
  /** Its target began to answer. */
  answered: boolean;
  /** Something of it was shown. */
  wasDelivered: boolean;
  /** And with it readers had more of an answer than ever before. */
  advanced: boolean;
  /** Estimated tokens of the answer that it is known to have sent: shown of it, and repeated before that. */
  tokens: number;
  /** Characters of the answer that had been shown when it was asked. */
  offset: number;
  /** What its target reported of what it cost, where that has a count of the prompt. */
  report: Readonly<Record<string, unknown>> | undefined;
};

/**
 * What is known of a request's answer: the log's story, kept up to date with every line that is
 * written. A worker that takes over reads it from the log, and knows what its predecessor knew.
 */
export type History = {
  readonly attempts: AttemptState[];
  /** When the first try of all began, in milliseconds since the epoch. */
  startedAt: number | undefined;
  delivered: Delivered;
  /** How far any answer has come that readers were shown, also one that they took back. */
  furthest: number;
  /** Who was shown last; one of the tries. */
  source: AttemptState | undefined;
  /** The usage that readers were sent. */
  usage: unknown;
  /** The whole answer of a call that was not streamed. */
  result: Result | undefined;
  /** Ends of attempts that were stopped with their run: the log may take no more lines. */
  readonly stopped: AttemptEnded[];
};

/** `maxShownChars`: of the text shown, how much is kept to go on from. */
export const emptyHistory = (maxDeliveredChars = Infinity): History => ({
  attempts: [],
  startedAt: undefined,
  delivered: nothingDelivered(maxDeliveredChars),
  furthest: 0,
  source: undefined,
  usage: undefined,
  result: undefined,
  stopped: [],
});

/** Adds a line of the log. Changes `history`. */
export function applyEntry(history: History, entry: Entry): void {
  switch (entry.kind) {
    case 'attempt':
      addAttempt(history, entry.data);
      break;
    case 'attempt_end': {
      const one = history.attempts.find(({ attempt }) => attempt === entry.data.attempt);
      if (!one) break;
      one.outcome = entry.data.outcome;
      one.answered ||= entry.data.firstTokenAt !== undefined;
      one.report = reportIn(entry.data);
      break;
    }
    case 'seam':
      if (entry.data.outcome === 'passed') passSeam(history, entry.data);
      break;
    case 'chunk': {
      if (history.source === undefined) setSource(history, impliedSource(history)?.attempt);
      const chunk = parseShallow(entry.text);
      const tokens = addChunk(history.delivered, chunk);
      if (history.source) history.source.tokens += tokens;
      advance(history);
      history.usage = usageOf(chunk) ?? history.usage;
      break;
    }
    case 'usage': {
      history.usage = usageOf(parseShallow(entry.text)) ?? history.usage;
      break;
    }
    case 'result':
      history.delivered.other = true;
      history.result = entry.data;
      break;
    case 'reset':
      history.delivered = nothingDelivered(history.delivered.maxChars);
      history.source = undefined;
      history.usage = undefined;
      history.result = undefined;
      break;
    default:
  }
}

export const applyLine = (history: History, line: string): void =>
  applyEntry(history, decodeEntry(line));

/** As `remember` of a chunk that adds nothing but a text to the first choice. */
export function applyText(history: History, content: string): void {
  const tokens = addText(history.delivered, channelKey(0, 'content'), content);
  if (history.source) history.source.tokens += tokens;
  advance(history);
}

/** Notes whose progress it is, where what was shown is any. */
function advance(history: History): void {
  const { delivered, source } = history;
  const now = progressOf(delivered);
  if (now <= history.furthest) return;
  history.furthest = now;
  if (source) source.advanced = true;
}

/** Whose the next chunk is, where no line says it: the speaker's, or the newest attempt's under way. */
export const impliedSource = ({ source, attempts }: History): AttemptState | undefined =>
  source ?? attempts.findLast(({ outcome }) => outcome === 'open');

/** An attempt becomes the answer: what is delivered from here on is its own. */
export function setSource(history: History, attempt: number | undefined): void {
  const one = history.attempts.find((candidate) => candidate.attempt === attempt);
  if (!one) return;
  one.wasDelivered = true;
  one.answered = true;
  // What another attempt reported on the way is not the usage of this one.
  if (history.source !== one) history.usage = undefined;
  history.source = one;
}

function passSeam(history: History, { attempt, rung }: SeamRecord): void {
  setSource(history, attempt);
  // A replay repeats what was shown before it comes to something new.
  if (rung === 'replay' && history.source) history.source.tokens += history.delivered.tokens;
}

function addAttempt(
  history: History,
  { attempt, provider, model, mode, at }: AttemptStarted,
): void {
  history.startedAt ??= at;
  history.attempts.push({
    attempt,
    provider,
    model,
    mode,
    outcome: 'open',
    answered: false,
    wasDelivered: false,
    advanced: false,
    tokens: 0,
    offset: history.delivered.chars,
    report: undefined,
  });
}

function reportIn({ usage, estimated }: AttemptEnded): AttemptState['report'] {
  const isReported = estimated === undefined || estimated === 'completion';
  return isReported && isJsonObject(usage) ? usage : undefined;
}

/**
 * What a target reported that was asked the caller's own prompt, and nothing more: the first one of all.
 * Undefined where none did.
 */
export function promptReport({ attempts }: Pick<History, 'attempts'>): AttemptState['report'] {
  const asked = attempts.filter(({ mode }) => mode !== 'continue' && mode !== 'anchor');
  return asked.find(({ report }) => Number(report?.['prompt_tokens']) > 0)?.report;
}
