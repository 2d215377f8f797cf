import type { KeyConfig } from '@millrace/shared/config';
import type { RequestMeta } from '@millrace/shared/domain/request';
import type { LeaseKeeper } from '@millrace/shared/store/quota/lease-keeper';
import { charged, chargesOf, keyAccount } from '@millrace/shared/store/quota/port';
import type { Taken, Windows } from '@millrace/shared/store/quota/port';
import { judgeRates, rememberedHeaders, tooManyConcurrent } from './quota-verdict.ts';
import type { LimitVerdict } from './quota-verdict.ts';
import { apiError } from '../errors.ts';
import type { Refusal } from '../observe/refusals.ts';
import type { Prepared } from '../exchange/prepare.ts';

/** What a key was charged for one request. */
export type Charge = {
  /** Of the request's answer. */
  headers: Record<string, string>;
  /** The request was not made: gives everything back to the key. */
  refund(): void;
};

type Owner = Pick<RequestMeta, 'id' | 'keyId'>;

/**
 * The limits of keys, counted over all ingresses. An admitted request counts as concurrent until its end:
 * the end of the response if the request ends with its client, else the terminal entry. Tokens are
 * charged by an estimate; the worker that ends the request settles them.
 */
export type KeyLimits = {
  /**
   * Charges the key for a request, and writes into its job what the worker is to settle.
   * `attached`: the request ends with its client, which is connected here. Throws an ApiError (429).
   */
  admit(prepared: Prepared, attached: boolean): Promise<Charge>;
  /** The request has ended, or was not made. Idempotent. */
  ended(request: Owner): void;
  /** The reader disconnected, and the request runs on. */
  readerLeft(id: string): void;
};

export type KeyLimitsOptions = {
  keys: readonly Pick<KeyConfig, 'id' | 'limits'>[] | undefined;
  windows: Windows;
  keeper: Pick<LeaseKeeper, 'take' | 'release' | 'letGo'>;
  refused(refusal: Refusal): void;
  onError(error: unknown): void;
};

type Limits = NonNullable<KeyConfig['limits']>;

export function createKeyLimits({
  keys = [],
  windows,
  keeper,
  refused,
  onError,
}: KeyLimitsOptions): KeyLimits {
  const limitsOf = new Map<string | undefined, Limits>(
    keys.flatMap(({ id, limits }) => (limits ? [[id, limits] as const] : [])),
  );

  /** The newest answer of the windows for each key, for the headers of rejections that do not query them. */
  const last = new Map<string, { taken: Taken; at: number }>();

  async function lease(
    keyId: string,
    limits: Limits,
    { meta, submission }: Prepared,
    attached: boolean,
  ): Promise<void> {
    const { concurrent } = limits;
    if (concurrent === undefined) return;
    const taken = await keeper.take(keyAccount(keyId), meta.id, concurrent, attached);
    if (taken === 'yes') return;
    const known = last.get(keyId);
    const headers = rememberedHeaders(
      chargesOf(limits, submission.body),
      known && { taken: known.taken, agoMs: performance.now() - known.at },
    );
    throw refuse(keyId, tooManyConcurrent(keyId, concurrent, headers));
  }

  async function charge(
    keyId: string,
    limits: Limits,
    { meta, job, submission }: Prepared,
  ): Promise<Charge> {
    const charges = chargesOf(limits, submission.body);
    const tokens = charges.find(({ name }) => name === 'tokens');
    const leased = limits.concurrent !== undefined;
    if (charges.length === 0) {
      job.account = { keyId, leased };
      return { headers: {}, refund: () => ended(meta) };
    }
    const taken = await windows.take(keyAccount(keyId), charges);
    last.set(keyId, { taken, at: performance.now() });
    const verdict = judgeRates(keyId, charges, taken);
    if (taken.kind === 'no' || verdict.kind === 'limited') throw refuse(keyId, verdict);
    job.account = {
      keyId,
      leased,
      tokens: tokens && { charged: charged(tokens), slot: taken.slot },
    };
    const { slot } = taken;
    return {
      headers: verdict.headers,
      refund() {
        ended(meta);
        const back = charges.map((one) => ({ name: one.name, amount: -charged(one), slot }));
        windows.correct(keyAccount(keyId), back).catch(onError);
      },
    };
  }

  function refuse(keyId: string, verdict: LimitVerdict): Error {
    if (verdict.kind === 'admitted') return new Error('admitted, and refused');
    refused({ reason: verdict.by, keyId });
    return Object.assign(rateLimited(verdict), { counted: true });
  }

  function ended({ id, keyId }: Owner): void {
    if (keyId === undefined || limitsOf.get(keyId)?.concurrent === undefined) return;
    keeper.release(keyAccount(keyId), id);
  }

  return {
    async admit(prepared, attached) {
      const { id, keyId } = prepared.meta;
      const limits = limitsOf.get(keyId);
      if (keyId === undefined || !limits) return uncharged;
      await lease(keyId, limits, prepared, attached);
      try {
        return await charge(keyId, limits, prepared);
      } catch (error) {
        ended({ id, keyId });
        throw error;
      }
    },
    ended,
    readerLeft: keeper.letGo,
  };
}

const uncharged: Charge = { headers: {}, refund() {} };

function rateLimited({
  by,
  message,
  retryAfterMs,
  headers,
}: Extract<LimitVerdict, { kind: 'limited' }>): Error {
  return apiError('rate_limit_exceeded', {
    message,
    type: by === 'tokens' ? 'tokens' : 'requests',
    retryAfter: Math.ceil(retryAfterMs / 1000),
    headers: { ...headers, 'retry-after-ms': String(Math.ceil(retryAfterMs)) },
  });
}
