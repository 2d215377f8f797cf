import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { deltaOf, usageOf } from '@millrace/formats/openai-chat/chunk';
import type { AttemptEnded } from '@millrace/shared/domain/entry';
import { tokensIn, tokensInCalls } from '@millrace/shared/domain/tokens';
import type { AttemptOutcome } from './attempt.ts';
import { textsOf } from '../continuation/delivered.ts';
import type { OutputGate } from './output-gate.ts';

/* The costs of attempts, as their ends in the log have them. */

export type Cost = Pick<AttemptEnded, 'outcome' | 'usage' | 'estimated'>;

/** The known work of an attempt. Numbers are estimated tokens. */
export type AttemptWork = Pick<OutputGate, 'sent' | 'reported'> & {
  /** Tokens of its prompt; a function, because few attempts need an estimate. */
  asked(): number;
  /** The upstream call was not made. */
  wasNotCalled?: boolean;
};

/** Estimated tokens that a target sent: all, and the reasoning among them. */
export type Sent = { tokens: number; reasoning: number };

/** Usage that an upstream reported before the end, and the estimated tokens that it had sent by then. */
export type ReportedUsage = { usage: Readonly<Record<string, unknown>>; tokens: number };

/** The cost of an attempt. `how`: the outcome to record if its own is `completed`. */
export function costOf(
  work: AttemptWork,
  outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
  how: string,
): Cost {
  if (outcome.kind === 'superseded') return costOfCancelled(work, outcome.kind);
  if (outcome.kind === 'fault') return costOfFailed(work, outcome.fault.code);
  if (outcome.usage !== undefined) return { outcome: how, usage: outcome.usage };
  return costOfCancelled(work, how);
}

/** The cost of a failed attempt. It is none if nothing was sent: providers do not charge for an error. */
export function costOfFailed(work: AttemptWork, outcome: string): Cost {
  const isError = work.reported === undefined && work.sent.tokens === 0;
  return isError ? { outcome } : costOfCancelled(work, outcome);
}

/** The cost of a cancelled attempt: the reported usage, plus an estimate of the tokens sent since. */
export function costOfCancelled(
  { reported, sent, asked, wasNotCalled }: AttemptWork,
  outcome: string,
): Cost {
  if (wasNotCalled) return { outcome };
  const since = sent.tokens - (reported?.tokens ?? 0);
  const promptTokens = positive(reported?.usage['prompt_tokens']);
  if (reported && since === 0 && promptTokens > 0) return { outcome, usage: reported.usage };
  const prompt = promptTokens > 0 ? promptTokens : Math.ceil(asked());
  const before = positive(reported?.usage['completion_tokens']);
  // A usage that comes before any token, as Anthropic's, has a first count of the tokens that follow: the
  // larger one of it and the estimate counts.
  const completion =
    reported?.tokens === 0 ? Math.max(before, Math.ceil(since)) : before + Math.ceil(since);
  const counts = { prompt_tokens: prompt, completion_tokens: completion };
  const usage = { ...reported?.usage, ...counts, total_tokens: prompt + completion };
  return { outcome, usage, estimated: promptTokens > 0 ? 'completion' : 'all' };
}

/** Estimated tokens in a chunk, or in a complete answer. */
export function sentIn(chunk: unknown): Sent {
  let tokens = 0;
  let reasoning = 0;
  const choices = isJsonObject(chunk) ? itemsOf(chunk['choices']) : [];
  for (const choice of choices) {
    const delta = deltaOf(choice);
    if (!delta) continue;
    for (const [channel, text] of textsOf(delta)) {
      const more = tokensIn(text);
      tokens += more;
      if (channel === 'reasoning') reasoning += more;
    }
    tokens += tokensInCalls(delta);
  }
  return { tokens, reasoning };
}

/** The usage in a chunk, if there is any. `tokens`: estimated tokens sent so far. */
export function reportedIn(chunk: unknown, tokens: number): ReportedUsage | undefined {
  const usage = usageOf(chunk);
  return usage && { usage, tokens };
}

const positive = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
