import type { KeySettings } from '@millrace/shared/config';
import type { Account, RequestMeta } from '@millrace/shared/domain/request';
import type { LeaseKeeper } from '@millrace/shared/store/quota/lease-keeper';
import { charged, chargesOf, keyAccount, refundOf } from '@millrace/shared/store/quota/port';
import type { Taken, Windows } from '@millrace/shared/store/quota/port';
import type { BudgetGate } from './budgets.ts';
import { judgeRates, rememberedHeaders, tooManyConcurrent } from './quota-verdict.ts';
import type { Limited } from './quota-verdict.ts';
import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';

/** The charge of one request to its key's limits and budget. */
export type Charge = {
  kind: 'charged';
  /** For the request's job: what the worker has to settle. */
  account: Account | undefined;
  /** Headers of the request's answer. */
  headers: Record<string, string>;
  /** The request was not created: gives everything back to the key. */
  refund(): void;
};

type Owner = Pick<RequestMeta, 'id' | 'keyId'>;

export type ChargedRequest = Owner & {
  /** The request's body, from which its tokens are estimated. */
  body: string;
  /** The alias. */
  model: string;
  /** Milliseconds since the epoch. */
  createdAt: number;
  /** The request ends with its client, which is connected here. */
  attached: boolean;
};

/**
 * The limits of keys, counted over all ingresses. An admitted request counts as concurrent until its end:
 * the end of the response if the request ends with its client, else the terminal entry. Tokens are
 * charged by an estimate; the worker that ends the request settles them. A budget is settled from the ledger.
 */
export type KeyLimits = {
  /** Charges the key for a request. */
  charge(request: ChargedRequest): Promise<Charge | Refused>;
  /** The request has ended, or was not created. Idempotent. */
  ended(request: Owner): void;
  /** The reader disconnected, and the request continues. */
  readerLeft(id: string): void;
};

export type KeyLimitsOptions = {
  /** The keys by their ids, as they are at each call. */
  keys: Pick<ReadonlyMap<string, Pick<KeySettings, 'limits' | 'budget'>>, 'get'>;
  windows: Windows;
  keeper: Pick<LeaseKeeper, 'take' | 'release' | 'letGo' | 'keeps'>;
  budgets: BudgetGate;
  onError(error: unknown): void;
};

type Limits = NonNullable<KeySettings['limits']>;

export function createKeyLimits(options: KeyLimitsOptions): KeyLimits {
  const { keys, windows, keeper, budgets, onError } = options;
  const limitsOf = (keyId: string | undefined): Limits | undefined =>
    keyId === undefined ? undefined : keys.get(keyId)?.limits;

  /** The newest reply of the windows for each key, for the headers of rejections that do not query them. */
  const last = new Map<string, { taken: Taken; at: number }>();

  async function lease(
    keyId: string,
    limits: Limits,
    { id, body, attached }: ChargedRequest,
  ): Promise<Refused | undefined> {
    const { concurrent } = limits;
    if (concurrent === undefined) return undefined;
    const taken = await keeper.take(keyAccount(keyId), id, concurrent, attached);
    if (taken === 'yes') return undefined;
    const known = last.get(keyId);
    const headers = rememberedHeaders(
      chargesOf(limits, body),
      known && { taken: known.taken, agoMs: performance.now() - known.at },
    );
    return rateLimited(tooManyConcurrent(keyId, concurrent, headers));
  }

  async function chargeRates(
    keyId: string,
    limits: Limits,
    { id, body }: ChargedRequest,
  ): Promise<Charge | Refused> {
    const charges = chargesOf(limits, body);
    const tokens = charges.find(({ name }) => name === 'tokens');
    const leased = limits.concurrent !== undefined;
    const end = () => ended({ id, keyId });
    if (charges.length === 0) {
      return { kind: 'charged', account: { keyId, leased }, headers: {}, refund: end };
    }
    const taken = await windows.take(keyAccount(keyId), charges);
    last.set(keyId, { taken, at: performance.now() });
    const verdict = judgeRates(keyId, charges, taken);
    if (verdict.kind === 'limited') return rateLimited(verdict);
    const slot = taken.kind === 'yes' ? taken.slot : 0;
    return {
      kind: 'charged',
      account: { keyId, leased, tokens: tokens && { charged: charged(tokens), slot } },
      headers: verdict.headers,
      refund() {
        end();
        windows.correct(keyAccount(keyId), refundOf(charges, slot)).catch(onError);
      },
    };
  }

  function ended({ id, keyId }: Owner): void {
    if (keyId === undefined) return;
    // Without a limit there is no lease, unless the key had a limit when it was taken.
    if (limitsOf(keyId)?.concurrent === undefined && !keeper.keeps(id)) return;
    keeper.release(keyAccount(keyId), id);
  }

  async function chargeLimits(
    keyId: string,
    limits: Limits,
    request: ChargedRequest,
  ): Promise<Charge | Refused> {
    const refusal = await lease(keyId, limits, request);
    if (refusal) return refusal;
    let verdict: Charge | Refused | undefined;
    try {
      verdict = await chargeRates(keyId, limits, request);
      return verdict;
    } finally {
      if (verdict?.kind !== 'charged') ended(request);
    }
  }

  /** Both at the same time; what one of them took is given back if the other refuses or fails. */
  async function chargeBoth(
    keyId: string,
    charging: Promise<Charge | Refused>,
    reserving: Promise<Refused | undefined>,
    { id }: ChargedRequest,
  ): Promise<Charge | Refused> {
    const [charge, reserved] = await Promise.allSettled([charging, reserving]);
    const held = charge.status === 'fulfilled' && charge.value.kind === 'charged' && charge.value;
    const isReserved = reserved.status === 'fulfilled' && reserved.value === undefined;
    if (held && isReserved) {
      const refund = (): void => {
        held.refund();
        budgets.release(keyId, id);
      };
      return { ...held, refund };
    }
    if (held) held.refund();
    if (isReserved) budgets.release(keyId, id);
    if (reserved.status === 'rejected') throw reserved.reason;
    if (charge.status === 'rejected') throw charge.reason;
    return reserved.value ?? charge.value;
  }

  return {
    async charge(request) {
      const { keyId } = request;
      const key = keyId === undefined ? undefined : keys.get(keyId);
      if (keyId === undefined || !key) return uncharged;
      const { limits, budget } = key;
      if (!budget) return limits ? chargeLimits(keyId, limits, request) : uncharged;
      const charging = limits ? chargeLimits(keyId, limits, request) : Promise.resolve(uncharged);
      return chargeBoth(keyId, charging, budgets.reserve(keyId, budget, request), request);
    },
    ended,
    readerLeft: keeper.letGo,
  };
}

const uncharged: Charge = { kind: 'charged', account: undefined, headers: {}, refund() {} };

function rateLimited({ by, message, retryAfterMs, headers }: Limited): Refused {
  return refuse('rate_limit_exceeded', {
    message,
    countAs: by,
    type: by === 'tokens' ? 'tokens' : 'requests',
    retryAfter: Math.ceil(retryAfterMs / 1000),
    headers: { ...headers, 'retry-after-ms': String(Math.ceil(retryAfterMs)) },
  });
}
