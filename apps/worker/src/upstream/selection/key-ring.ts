import { createHash } from 'node:crypto';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Headers, ProviderFormat } from '@millrace/formats/port';
import type { KeyNotice } from './key-notice.ts';
import {
  closedUntil,
  applyAnswer,
  applyFault,
  limitedUntil,
  modelState,
  newKeyState,
  shareLeft,
} from './key-state.ts';
import type { KeyState, KeyChange } from './key-state.ts';
import type { Check } from './port.ts';

export type KeyRingOptions = {
  provider: string;
  /** If empty, the ring has one entry without a key, whose quota is tracked as well. */
  keys: readonly string[];
  /** The format's reader of rate limits in response headers. */
  readLimits: ProviderFormat['readLimits'];
  now(): number;
  /** Sends a notice to the other workers. */
  share(fact: Omit<KeyNotice, 'from'>): void;
  /** The provider rejected a key; `index` is its position in the config. */
  onAside?(aside: { provider: string; index: number; status: number; forMs: number }): void;
};

/** One call with a key. `used` is called once, with the response's head; it ends the lease. */
export type KeyLease = {
  apiKey: string | undefined;
  /** The key's position in the config, for logs. */
  index: number;
  /** Takes the head of a response, of any status. */
  used(headers: Headers, status: number): void;
  /** Takes the fault in a response's body; called after `used` if there was a head. */
  failed(fault: Fault): void;
  /** Ends the lease without a response. Idempotent, and unnecessary after `used`. */
  end(): void;
  /** Whether this key is blocked now and another one is not: the provider rejected the key only. */
  hasOther(): boolean;
};

export type KeyRing = ReturnType<typeof createKeyRing>;

/** Shares are rounded to 20 steps, so that similar ones count as equal. */
const steps = 20;

/**
 * The keys of one provider, as one worker sees them. Each call takes the key with the largest remaining
 * share; among equals, the least recently used.
 */
export function createKeyRing(options: KeyRingOptions) {
  const { provider, keys, readLimits, now, share, onAside } = options;
  const places: (KeyState & { apiKey: string | undefined; index: number; name: string })[] = (
    keys.length > 0 ? keys : [undefined]
  ).map((apiKey, index) => ({ ...newKeyState(), apiKey, index, name: keyName(apiKey ?? '') }));
  let calls = 0;

  /** The best key, whether or not it may be used now. */
  function choose(model: string) {
    const at = now();
    // If all keys are set aside, that is ignored: the provider's own answer then explains the failure to the
    // client.
    const until = places.every(({ asideUntil }) => asideUntil > at)
      ? (key: KeyState) => limitedUntil(modelState(key, model))
      : (key: KeyState) => closedUntil(key, modelState(key, model));
    const ranked = places.map((key) => ({
      key,
      closed: Math.max(at, until(key)),
      left: Math.round(shareLeft(modelState(key, model), at) * steps),
    }));
    ranked.sort((a, b) => a.closed - b.closed || b.left - a.left || a.key.usedBy - b.key.usedBy);
    // There is always at least one entry.
    return ranked[0] as (typeof ranked)[number];
  }

  return {
    /** Whether any key may be used for this model. */
    check(model: string): Check {
      const { closed } = choose(model);
      return closed > now() ? { kind: 'no', until: closed, why: 'limited' } : { kind: 'yes' };
    },

    /**
     * The fault of a model whose keys are all at the provider's limit; undefined while one may be used. The
     * message is our own: the provider's is about a request that it rejected, perhaps another client's.
     */
    limit(model: string): Fault | undefined {
      return choose(model).closed > now() ? rateLimited : undefined;
    },

    /**
     * Takes a key; if none may be used, the one that is free first. `tokens`: the estimate for the call;
     * evaluated only if the provider reports remaining tokens.
     */
    take(model: string, tokens: () => number = () => 0): KeyLease {
      const { key } = choose(model);
      const state = modelState(key, model);
      calls += 1;
      const call = calls;
      key.usedBy = call;
      state.open.set(call, state.quota?.tokens ? tokens() : 0);
      const { apiKey, index, name } = key;
      let head: number | undefined;
      function tell(verdict: KeyChange | undefined): void {
        if (!verdict) return;
        const { kind, ms } = verdict;
        if (kind === 'aside') onAside?.({ provider, index, status: head ?? 0, forMs: ms });
        share({ kind, provider, key: name, ms, ...(kind === 'cooled' ? { model } : {}) });
      }
      return {
        apiKey,
        index,
        used(headers, status) {
          head = status;
          if (!state.open.delete(call)) return;
          const limits = readLimits(headers, now());
          tell(applyAnswer(key, state, { limits, status, call, now: now() }));
        },
        failed: (fault) => tell(applyFault(key, state, { fault, status: head, now: now() })),
        end() {
          state.open.delete(call);
        },
        hasOther() {
          const isOpen = (one: KeyState) => closedUntil(one, modelState(one, model)) <= now();
          return !isOpen(key) && places.some(isOpen);
        },
      };
    },

    /** Applies another worker's notice. */
    learn(fact: Omit<KeyNotice, 'from'>): void {
      const key = places.find(({ name }) => name === fact.key);
      if (!key) return;
      const closed = now() + fact.ms;
      if (fact.model === undefined) key.asideUntil = Math.max(key.asideUntil, closed);
      else {
        const state = modelState(key, fact.model);
        state.coolUntil = Math.max(state.coolUntil, closed);
      }
    },

    /** Whether each key is set aside, because the provider rejected it; in the order of the config. */
    aside: (): boolean[] => places.map(({ asideUntil }) => asideUntil > now()),

    /** Without the keys. */
    snapshot() {
      const at = now();
      return places.map((key) => ({
        index: key.index,
        ...(key.asideUntil > at ? { asideUntil: key.asideUntil } : {}),
        models: Object.fromEntries(
          [...key.models].map(([model, state]) => {
            const closed = closedUntil(key, state);
            const { quota, open } = state;
            return [
              model,
              { waitingForHead: open.size, quota, ...(closed > at ? { closedUntil: closed } : {}) },
            ];
          }),
        ),
      }));
    },
  };
}

const rateLimited: Fault = {
  code: 'upstream_rate_limited',
  message: 'The provider takes no more requests for now: its rate limit is reached.',
};

/** The name of a key in messages between workers: it distinguishes a provider's keys and reveals nothing. */
export const keyName = (apiKey: string): string =>
  createHash('sha256').update(apiKey).digest('hex').slice(0, 8);
