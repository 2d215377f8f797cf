import { parseShallow } from '@millrace/shared/domain/json';
import { isObject, usageOf } from '@millrace/shared/domain/chunk';
import { decodeEntry } from '@millrace/shared/domain/entry';
import type {
  AttemptEnded,
  AttemptMode,
  AttemptStarted,
  Entry,
  Result,
  SeamRecord,
} from '@millrace/shared/domain/entry';
import { reach } from './progress.ts';
import { addChunk, addText, key, nothingShown } from './delivered.ts';
import type { Shown } from './delivered.ts';

/** One attempt, as far as what comes next depends on it. */
export type Try = {
  attempt: number;
  provider: string;
  model: string;
  mode: AttemptMode;
  /** As its end in the log says, or `open` while nothing ended it. */
  outcome: string;
  /** Its target began to answer. */
  answered: boolean;
  /** Something of it was shown. */
  spoke: boolean;
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
  readonly tries: Try[];
  /** When the first try of all began, in milliseconds since the epoch. */
  startedAt: number | undefined;
  shown: Shown;
  /** How far any answer has come that readers were shown, also one that they were told to forget. */
  furthest: number;
  /** Who was shown last; one of the tries. */
  speaker: Try | undefined;
  /** The usage that readers were told. */
  usage: unknown;
  /** The whole answer of a call that was not streamed. */
  result: Result | undefined;
  /** Ends of attempts that were stopped with their run: the log may take no more lines. */
  readonly stopped: AttemptEnded[];
};

/** `maxShownChars`: of the text shown, how much is kept to go on from. */
export const emptyHistory = (maxShownChars = Infinity): History => ({
  tries: [],
  startedAt: undefined,
  shown: nothingShown(maxShownChars),
  furthest: 0,
  speaker: undefined,
  usage: undefined,
  result: undefined,
  stopped: [],
});

/** Adds a line of the log. Changes `history`. */
export function remember(history: History, entry: Entry): void {
  switch (entry.kind) {
    case 'attempt':
      begin(history, entry.data);
      break;
    case 'attempt_end': {
      const one = history.tries.find(({ attempt }) => attempt === entry.data.attempt);
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
      if (history.speaker === undefined) speaks(history, impliedSpeaker(history)?.attempt);
      const chunk = parseShallow(entry.text);
      const tokens = addChunk(history.shown, chunk);
      if (history.speaker) history.speaker.tokens += tokens;
      advance(history);
      history.usage = usageOf(chunk) ?? history.usage;
      break;
    }
    case 'usage': {
      history.usage = usageOf(parseShallow(entry.text)) ?? history.usage;
      break;
    }
    case 'result':
      history.shown.other = true;
      history.result = entry.data;
      break;
    case 'reset':
      history.shown = nothingShown(history.shown.maxChars);
      history.speaker = undefined;
      history.usage = undefined;
      history.result = undefined;
      break;
    default:
  }
}

export const rememberLine = (history: History, line: string): void =>
  remember(history, decodeEntry(line));

/** As `remember` of a chunk that adds nothing but a text to the first choice. */
export function rememberText(history: History, content: string): void {
  const tokens = addText(history.shown, key(0, 'content'), content);
  if (history.speaker) history.speaker.tokens += tokens;
  advance(history);
}

/** Notes whose progress it is, where what was shown is any. */
function advance(history: History): void {
  const { shown, speaker } = history;
  const now = reach(shown);
  if (now <= history.furthest) return;
  history.furthest = now;
  if (speaker) speaker.advanced = true;
}

/** Whose the next chunk is, where no line says it: the speaker's, or the newest attempt's under way. */
export const impliedSpeaker = ({ speaker, tries }: History): Try | undefined =>
  speaker ?? tries.findLast(({ outcome }) => outcome === 'open');

/** An attempt takes the floor: what is shown from here on is its own. */
export function speaks(history: History, attempt: number | undefined): void {
  const one = history.tries.find((candidate) => candidate.attempt === attempt);
  if (!one) return;
  one.spoke = true;
  one.answered = true;
  // What another one reported on the way is not the usage of what this one says.
  if (history.speaker !== one) history.usage = undefined;
  history.speaker = one;
}

function passSeam(history: History, { attempt, rung }: SeamRecord): void {
  speaks(history, attempt);
  // A replay repeats what was shown before it comes to something new.
  if (rung === 'replay' && history.speaker) history.speaker.tokens += history.shown.tokens;
}

function begin(history: History, { attempt, provider, model, mode, at }: AttemptStarted): void {
  history.startedAt ??= at;
  history.tries.push({
    attempt,
    provider,
    model,
    mode,
    outcome: 'open',
    answered: false,
    spoke: false,
    advanced: false,
    tokens: 0,
    offset: history.shown.chars,
    report: undefined,
  });
}

function reportIn({ usage, estimated }: AttemptEnded): Try['report'] {
  const isReported = estimated === undefined || estimated === 'completion';
  return isReported && isObject(usage) ? usage : undefined;
}

/**
 * What a target reported that was asked the caller's own prompt, and nothing more: the first one of all.
 * Undefined where none did.
 */
export function promptReport({ tries }: Pick<History, 'tries'>): Try['report'] {
  const asked = tries.filter(({ mode }) => mode !== 'continue' && mode !== 'anchor');
  return asked.find(({ report }) => Number(report?.['prompt_tokens']) > 0)?.report;
}
