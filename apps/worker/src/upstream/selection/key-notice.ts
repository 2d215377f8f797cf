/** A message of one worker to the others: a provider's key is not to be used for a while. */
export type KeyNotice = {
  /** `cooled`: this model's limit is reached. `aside`: the provider rejects the key. */
  kind: 'cooled' | 'aside';
  /** The worker that noticed it, which ignores its own message. */
  from: string;
  provider: string;
  /** `keyName`, never the key. */
  key: string;
  /** With `cooled`. */
  model?: string;
  /** Milliseconds from now: the clocks of two machines are never compared. */
  ms: number;
};

/** Milliseconds beyond which a notice is considered wrong. */
const longestMs = 3_600_000;

export const encodeNotice = (notice: KeyNotice): string => JSON.stringify(notice);

/** Undefined if the text is no key notice: other versions share the channel. */
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
  const notice = { from, provider, key, ms: Math.min(ms, longestMs) };
  if (kind === 'aside') return { kind, ...notice };
  return kind === 'cooled' && typeof model === 'string' ? { kind, ...notice, model } : undefined;
}
