import { deltaOf, hasToolCall, isObject, itemsOf, usageOf } from '@millrace/shared/domain/chunk';
import type { AttemptEnded } from '@millrace/shared/domain/entry';
import type { AttemptOutcome } from './attempt.ts';
import { estimateTokens } from './failover/continue-body.ts';
import { textsOf } from './failover/shown.ts';
import type { Voice } from './voice.ts';

/* What attempts cost, as their ledger entries say it. */

export type Cost = Pick<AttemptEnded, 'outcome' | 'usage' | 'estimated'>;

type Sent = Pick<Voice, 'chars' | 'told' | 'gaveUp'>;

/** What an upstream told of its cost on the way, and how many characters it had sent by then. */
export type Told = { usage: Readonly<Record<string, unknown>>; chars: number };

/** What an attempt cost. One that ended without telling is counted from what it sent, and says so. */
export function costOf(
  sent: Sent,
  outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
  isWhole: boolean,
): Cost {
  if (outcome.kind !== 'completed') {
    return costOfBroken(sent, outcome.kind === 'superseded' ? outcome.kind : outcome.fault.code);
  }
  const how = isWhole ? 'completed' : (sent.gaveUp ?? 'superseded');
  return outcome.isCut && outcome.usage === undefined
    ? costOfBroken(sent, how)
    : { outcome: how, usage: outcome.usage };
}

/** Of one that never came to its last word on it: what it told, and what it sent since then. */
export function costOfBroken({ told, chars }: Sent, outcome: string): Cost {
  const sent = chars - (told?.chars ?? 0);
  if (!told) return sent === 0 ? { outcome } : { outcome, ...estimated(sent) };
  if (sent === 0) return { outcome, usage: told.usage };
  const { prompt_tokens: prompt, completion_tokens: before } = told.usage;
  const completion = count(before) + estimateTokens(sent);
  const usage = {
    ...told.usage,
    completion_tokens: completion,
    total_tokens: count(prompt) + completion,
  };
  return { outcome, usage, estimated: true };
}

export const estimated = (chars: number) => ({
  usage: { completion_tokens: estimateTokens(chars) },
  estimated: true as const,
});

/** Characters that its upstream wrote of a chunk: every text, and what it calls tools with. */
export function charsIn(chunk: unknown): number {
  let chars = 0;
  const choices = isObject(chunk) ? itemsOf(chunk['choices']) : [];
  for (const choice of choices) {
    const delta = deltaOf(choice);
    if (!delta) continue;
    for (const [, text] of textsOf(delta)) chars += text.length;
    if (!hasToolCall(delta)) continue;
    chars += lengthOfCall(delta['function_call']);
    for (const call of itemsOf(delta['tool_calls'])) {
      if (isObject(call)) chars += lengthOfCall(call['function'] ?? call['custom']);
    }
  }
  return chars;
}

/** `name` and `arguments`, or `input` for a tool that takes a plain text. */
function lengthOfCall(call: unknown): number {
  if (!isObject(call)) return 0;
  const texts = [call['name'], call['arguments'], call['input']];
  return texts.reduce((sum: number, text) => sum + (typeof text === 'string' ? text.length : 0), 0);
}

/** The usage in a chunk, if there is any, as told after so many characters. */
export function toldIn(chunk: unknown, chars: number): Told | undefined {
  const usage = usageOf(chunk);
  return usage && { usage, chars };
}

const count = (value: unknown): number => (typeof value === 'number' ? value : 0);
