import type { OpenAiError } from '@millrace/shared/domain/entry';
import type { Fault } from '@millrace/shared/domain/fault';

/**
 * Characters of a key that is looked for in what a provider says. Shorter ones are placeholders for
 * servers that want none (`x`, `none`): no secret, and a part of half the words there are.
 */
const shortestKey = 8;
/** Levels of an error object that are told: nobody nests what a reader is to understand. */
const maxErrorDepth = 20;

/**
 * The fault as it may be told. Providers repeat what they were sent, and the key is nobody's business:
 * it is taken out of every text of theirs, never out of our own code and status. Never throws.
 */
export function withoutKey(fault: Fault, apiKey: string | undefined): Fault {
  const isSecret = apiKey !== undefined && apiKey.length >= shortestKey;
  const clean = (text: string) => (isSecret ? text.replaceAll(apiKey, '***') : text);
  const told: Fault = { ...fault, message: clean(fault.message) };
  // All levels of an OpenAiError's own members are above the bound.
  if (fault.error) told.error = mapTexts(fault.error, clean, maxErrorDepth) as OpenAiError;
  return told;
}

/** A copy with every text changed, cut off below `depth` levels: what is deeper cannot be written either. */
function mapTexts(value: unknown, change: (text: string) => string, depth: number): unknown {
  if (typeof value === 'string') return change(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return null;
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, change, depth - 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, mapTexts(one, change, depth - 1)]),
  );
}
