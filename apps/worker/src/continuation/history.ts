import { parseShallow, isJsonObject } from '@millrace/shared/domain/json';
import { usageOf, visibility } from '@millrace/formats/openai-chat/chunk';
import { decodeEntry } from '@millrace/shared/domain/entry';
import type {
  AttemptEnded,
  AttemptMode,
  AttemptStarted,
  Entry,
  Result,
  SeamRecord,
} from '@millrace/shared/domain/entry';
import type { LedgerAttempt } from '@millrace/shared/domain/ledger';
import { DeliveryTimes } from '@millrace/shared/domain/delivery-times';
import { progressOf } from './progress.ts';
import { addChunk, addText, channelKey, nothingDelivered } from './delivered.ts';
import type { Delivered } from './delivered.ts';

/** The state of one attempt that later decisions depend on. */
export type AttemptState = {
  attempt: number;
  provider: string;
  model: string;
  mode: AttemptMode;
  /** The outcome in its log line, or `open` while it has not ended. */
  outcome: string;
  /** Its target began to answer. */
  answered: boolean;
  /** A part of it was delivered. */
  wasDelivered: boolean;
  /** It took the answer further than any attempt before. */
  advanced: boolean;
  /**
   * Estimated tokens of the answer that it has sent as far as the log shows: the delivered ones, and those it
   * repeated before.
   */
  tokens: number;
  /** Characters of the answer that were delivered before it started. */
  offset: number;
  /** The usage that its target reported, if it has a count of the prompt. */
  report: Readonly<Record<string, unknown>> | undefined;
};

/**
 * The state of a request's answer according to its log. It is updated with every line that is written; a
 * worker that takes over builds it from the log, so it has the same knowledge as its predecessor.
 */
export type History = {
  readonly attempts: AttemptState[];
  /** When the first attempt began, in milliseconds since the epoch. */
  startedAt: number | undefined;
  delivered: Delivered;
  /** The greatest progress of any answer that was delivered, including those that readers took back. */
  furthest: number;
  /** The attempt whose text was delivered last. */
  source: AttemptState | undefined;
  /** The usage that readers were sent. */
  usage: unknown;
  /** The whole answer of a call that was not streamed. */
  result: Result | undefined;
  /** The attempts as the ledger has them. */
  readonly ledger: LedgerAttempt[];
  /** How often another attempt continued the answer after a delivery, or began it again. */
  rescues: number;
  readonly times: DeliveryTimes;
  /** Ends of attempts that were stopped with their run: the log may take no more lines. */
  readonly stopped: AttemptEnded[];
};

/** `maxDeliveredChars`: how many characters of the delivered text are kept for a continuation. */
export const emptyHistory = (maxDeliveredChars = Infinity): History => ({
  attempts: [],
  startedAt: undefined,
  delivered: nothingDelivered(maxDeliveredChars),
  furthest: 0,
  source: undefined,
  usage: undefined,
  result: undefined,
  ledger: [],
  rescues: 0,
  times: new DeliveryTimes(),
  stopped: [],
});

/** Adds a line of the log. Changes `history`. */
export function applyEntry(history: History, entry: Entry): void {
  switch (entry.kind) {
    case 'attempt':
      addAttempt(history, entry.data);
      history.ledger.push({ started: entry.data });
      break;
    case 'attempt_end': {
      const one = history.attempts.find(({ attempt }) => attempt === entry.data.attempt);
      if (!one) break;
      one.outcome = entry.data.outcome;
      one.answered ||= entry.data.firstTokenAt !== undefined;
      one.report = reportIn(entry.data);
      noteEnd(history, entry.data);
      break;
    }
    case 'seam':
      if (entry.data.outcome === 'passed') passSeam(history, entry.data);
      break;
    case 'chunk': {
      if (history.source === undefined) setSource(history, impliedSource(history)?.attempt);
      const chunk = parseShallow(entry.text);
      if (visibility(chunk) === 'visible') history.times.delivered();
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
      resume(history);
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

/** Does the same as applying a chunk that adds only a text to the first choice. */
export function applyText(history: History, content: string): void {
  history.times.delivered();
  const tokens = addText(history.delivered, channelKey(0, 'content'), content);
  if (history.source) history.source.tokens += tokens;
  advance(history);
}

/** Marks the source as advanced if the delivered answer has made progress. */
function advance(history: History): void {
  const { delivered, source } = history;
  const now = progressOf(delivered);
  if (now <= history.furthest) return;
  history.furthest = now;
  if (source) source.advanced = true;
}

/**
 * The attempt that the next chunk belongs to if no line says so: the current source, or the newest open
 * attempt.
 */
export const impliedSource = ({ source, attempts }: History): AttemptState | undefined =>
  source ?? attempts.findLast(({ outcome }) => outcome === 'open');

/** An attempt becomes the answer: what is delivered from here on is its own. */
export function setSource(history: History, attempt: number | undefined): void {
  const one = history.attempts.find((candidate) => candidate.attempt === attempt);
  if (!one) return;
  one.wasDelivered = true;
  one.answered = true;
  // The usage that another attempt reported does not apply to this one.
  if (history.source !== one) history.usage = undefined;
  history.source = one;
}

/** What follows is another attempt's text; the source is still the attempt that ended. */
function resume(history: History): void {
  history.times.resuming();
  // What an operator moves was not in danger.
  if (history.source?.outcome !== 'moved') history.rescues += 1;
}

function passSeam(history: History, { attempt, rung }: SeamRecord): void {
  const isContinued = rung === 'continue' || rung === 'replay' || rung === 'anchor';
  if (isContinued) resume(history);
  setSource(history, attempt);
  // A replay sends the delivered text again before it sends anything new.
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

/** Notes how an attempt ended, also one whose end the log takes no more. */
export function noteEnd({ ledger }: History, ended: AttemptEnded): void {
  const one = ledger.find(({ started }) => started.attempt === ended.attempt);
  if (one) one.ended = ended;
}

function reportIn({ usage, estimated }: AttemptEnded): AttemptState['report'] {
  const isReported = estimated === undefined || estimated === 'completion';
  return isReported && isJsonObject(usage) ? usage : undefined;
}

/**
 * The usage that a target reported for the caller's own prompt, without anything that a strategy added: that
 * of the first such attempt. Undefined if there is none.
 */
export function promptReport({ attempts }: Pick<History, 'attempts'>): AttemptState['report'] {
  const asked = attempts.filter(({ mode }) => mode !== 'continue' && mode !== 'anchor');
  return asked.find(({ report }) => Number(report?.['prompt_tokens']) > 0)?.report;
}
