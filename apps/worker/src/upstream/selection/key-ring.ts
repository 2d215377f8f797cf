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
  /** None: one place without a key, whose quota is watched all the same. */
  keys: readonly string[];
  /** The format's, of a response's head. */
  readLimits: ProviderFormat['readLimits'];
  now(): number;
  /** What the workers of the fleet should know. */
  share(fact: Omit<KeyNotice, 'from'>): void;
  /** The provider refused a key: its place in the config, never the key. */
  onAside?(aside: { provider: string; index: number; status: number; forMs: number }): void;
};

/** One call with a key. `used` is called once, with the answer's head; then the call has ended. */
export type KeyLease = {
  apiKey: string | undefined;
  /** Its place in the config, for logs. */
  index: number;
  /** The head of an answer, of any status. */
  used(headers: Headers, status: number): void;
  /** How the call failed, by its answer's body: after its head, if there was one. */
  failed(fault: Fault): void;
  /** No answer comes any more. Idempotent, and needless after `used`. */
  end(): void;
  /** This key may not be asked now, and another one may: what was refused was the key. */
  hasOther(): boolean;
};

export type KeyRing = ReturnType<typeof createKeyRing>;

/** Shares above zero that differ by less than this are equal: 20 steps from nothing to everything. */
const steps = 20;

/**
 * The keys of one provider, as one worker sees them. Each call takes the key of which the most is
 * left, among equals the one that was used the longest ago.
 */
export function createKeyRing(options: KeyRingOptions) {
  const { provider, keys, readLimits, now, share, onAside } = options;
  const places: (KeyState & { apiKey: string | undefined; index: number; name: string })[] = (
    keys.length > 0 ? keys : [undefined]
  ).map((apiKey, index) => ({ ...newKeyState(), apiKey, index, name: keyName(apiKey ?? '') }));
  let calls = 0;

  /** The best key, whether or not it may be asked. */
  function choose(model: string) {
    const at = now();
    // Where all are refused there is nothing to choose: the provider's own answer tells the client why.
    const until = places.every(({ asideUntil }) => asideUntil > at)
      ? (key: KeyState) => limitedUntil(modelState(key, model))
      : (key: KeyState) => closedUntil(key, modelState(key, model));
    const ranked = places.map((key) => ({
      key,
      closed: Math.max(at, until(key)),
      left: Math.round(shareLeft(modelState(key, model), at) * steps),
    }));
    ranked.sort((a, b) => a.closed - b.closed || b.left - a.left || a.key.usedBy - b.key.usedBy);
    // There is always one place.
    return ranked[0] as (typeof ranked)[number];
  }

  return {
    /** Whether one of them may be asked for this model. */
    check(model: string): Check {
      const { closed } = choose(model);
      return closed > now() ? { kind: 'no', until: closed, why: 'limited' } : { kind: 'yes' };
    },

    /**
     * Why none may be asked for this model, where that is the provider's limit. Undefined while one may be
     * asked. In our words: the provider's are about the request that it refused, perhaps another client's.
     */
    limit(model: string): Fault | undefined {
      return choose(model).closed > now() ? rateLimited : undefined;
    },

    /**
     * When none may be asked: the one that opens first. `tokens`: what the call may use; asked for
     * only where the provider says how many are left.
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

    /** What another worker found out. */
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

/** What a key is called among workers: enough to tell a provider's keys apart, and nothing to use. */
export const keyName = (apiKey: string): string =>
  createHash('sha256').update(apiKey).digest('hex').slice(0, 8);
