import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { deltaOf, usageOf } from '@millrace/formats/openai-chat/chunk';
import type { AttemptEnded } from '@millrace/shared/domain/entry';
import { tokensIn, tokensInCalls } from '@millrace/shared/domain/tokens';
import type { AttemptOutcome } from './attempt.ts';
import { textsOf } from '../continuation/delivered.ts';
import type { OutputGate } from './output-gate.ts';

/* What attempts cost, as their ledger entries say it. */

export type Cost = Pick<AttemptEnded, 'outcome' | 'usage' | 'estimated'>;

/** What an attempt is known to have been asked and to have sent. Numbers are estimated tokens. */
export type AttemptWork = Pick<OutputGate, 'sent' | 'reported'> & {
  /** What it was asked; a function, for few attempts have to be estimated. */
  asked(): number;
  /** Its call was not made. */
  wasNotCalled?: boolean;
};

/** What a target sent: in all, and the reasoning of it. Estimated tokens. */
export type Sent = { tokens: number; reasoning: number };

/** What an upstream reported of its cost on the way, and how many estimated tokens it had sent by then. */
export type ReportedUsage = { usage: Readonly<Record<string, unknown>>; tokens: number };

/** What an attempt cost. `how`: its outcome where its own is `completed`. */
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

/** Of one that failed. One that had sent nothing costs nothing: providers do not charge for an error. */
export function costOfFailed(work: AttemptWork, outcome: string): Cost {
  const isError = work.reported === undefined && work.sent.tokens === 0;
  return isError ? { outcome } : costOfCancelled(work, outcome);
}

/** Of one that its target was at work on: what it reported, and an estimate of what it did since then. */
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
  // Anthropic reports a first count along with the prompt: of what comes then, not of what came before.
  const completion =
    reported?.tokens === 0 ? Math.max(before, Math.ceil(since)) : before + Math.ceil(since);
  const counts = { prompt_tokens: prompt, completion_tokens: completion };
  const usage = { ...reported?.usage, ...counts, total_tokens: prompt + completion };
  return { outcome, usage, estimated: promptTokens > 0 ? 'completion' : 'all' };
}

/** What a chunk says, or a whole answer. */
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

/** The usage in a chunk, if there is any, as reported after so many estimated tokens. */
export function reportedIn(chunk: unknown, tokens: number): ReportedUsage | undefined {
  const usage = usageOf(chunk);
  return usage && { usage, tokens };
}

const positive = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
