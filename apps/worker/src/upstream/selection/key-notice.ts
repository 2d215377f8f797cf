/** What one worker tells the others of a provider's key: not to be asked for a while. */
export type KeyNotice = {
  /** `cooled`: this model's limit is reached. `aside`: the provider refuses the key. */
  kind: 'cooled' | 'aside';
  /** The worker that found out: it need not hear it from itself. */
  from: string;
  provider: string;
  /** `keyName`, never the key. */
  key: string;
  /** With `cooled`. */
  model?: string;
  /** Milliseconds from now: the clocks of two machines are never compared. */
  ms: number;
};

/** Milliseconds beyond which a fact is a mistake. */
const longestMs = 3_600_000;

export const encodeNotice = (fact: KeyNotice): string => JSON.stringify(fact);

/** Undefined when the text is no such fact: other versions share the channel. */
export function decodeNotice(text: string): KeyNotice | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { kind, from, provider, key, model, ms } = value as Record<string, unknown>;
  if (typeof from !== 'string' || typeof provider !== 'string' || typeof key !== 'string')
    return undefined;
  if (typeof ms !== 'number' || !(ms >= 0)) return undefined;
  const fact = { from, provider, key, ms: Math.min(ms, longestMs) };
  if (kind === 'aside') return { kind, ...fact };
  return kind === 'cooled' && typeof model === 'string' ? { kind, ...fact, model } : undefined;
}
