import type { JobData } from '@millrace/shared/domain/request';
import type { LeaseKeeper } from '@millrace/shared/store/quota/lease-keeper';
import { keyAccount } from '@millrace/shared/store/quota/port';
import type { Windows } from '@millrace/shared/store/quota/port';

type Request = { id: string; data: Pick<JobData, 'account'> };

/** Settles the shares that requests hold of their keys' limits. No request waits for it or fails because of it. */
export type QuotaSettlement = {
  /** The request runs here: from now on this worker renews its lease among the key's concurrent requests. */
  begin(request: Request): void;
  /** The request is over. `tokens`: its real cost; undefined: the charged estimate stays. */
  settle(request: Request, tokens: number | undefined): void;
  /** The request does not run here any more, and unless it was settled it may continue elsewhere. */
  forget(request: Request): void;
};

export type QuotaSettlementOptions = {
  windows: Pick<Windows, 'correct'>;
  keeper: Pick<LeaseKeeper, 'hold' | 'release' | 'forget'>;
  onError(error: unknown): void;
};

export function createQuotaSettlement({
  windows,
  keeper,
  onError,
}: QuotaSettlementOptions): QuotaSettlement {
  return {
    begin({ id, data: { account } }) {
      if (account?.leased) keeper.hold(keyAccount(account.keyId), id);
    },
    settle({ id, data: { account } }, tokens) {
      if (!account) return;
      const name = keyAccount(account.keyId);
      if (account.leased) keeper.release(name, id);
      if (!account.tokens || tokens === undefined) return;
      const { charged, slot } = account.tokens;
      const amount = tokens - charged;
      if (amount !== 0) windows.correct(name, [{ name: 'tokens', amount, slot }]).catch(onError);
    },
    forget: ({ id }) => keeper.forget(id),
  };
}
