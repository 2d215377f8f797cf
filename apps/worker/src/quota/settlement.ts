import type { JobData } from '@millrace/shared/domain/request';
import type { LeaseKeeper } from '@millrace/shared/store/quota/lease-keeper';
import { keyAccount } from '@millrace/shared/store/quota/port';
import type { Windows } from '@millrace/shared/store/quota/port';

type Request = { id: string; data: Pick<JobData, 'account'> };

/** What requests hold of the limits of their keys. No request waits for it, and nothing fails by it. */
export type QuotaSettlement = {
  /** The request runs here: its place among those under way is kept from here. */
  begin(request: Request): void;
  /** It is over. `tokens`: what it really cost; undefined: what was charged for it stays. */
  settle(request: Request, tokens: number | undefined): void;
  /** It does not run here any more: what was not settled may go on elsewhere. */
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
