import { usdText } from '@millrace/shared/cost/usd';
import type { BudgetLimit, BudgetUnit, BudgetUse } from '@millrace/shared/domain/budget';

export type BudgetVerdict = {
  /** `reserved`: the limit is reached only together with requests under way, which may use less than they reserved. */
  kind: 'used_up' | 'reserved';
  message: string;
  retryAfterSeconds: number;
};

/** Seconds. Requests take seconds to minutes, and a reservation ends within a second of its request. */
const retryReservedSeconds = 5;

/**
 * Which limit of a budget is reached, in words for the client; undefined if none is. `use` is in the order of the limits. Of
 * several limits it names the one that is renewed last, because the key is refused until then; a limit that is used up before
 * one that is only reserved.
 */
export function judgeBudget(
  keyId: string,
  limits: readonly BudgetLimit[],
  use: readonly BudgetUse[],
  now: number,
): BudgetVerdict | undefined {
  const reached = limits
    .map((limit, i) => ({ ...limit, ...(use[i] ?? { spent: 0, reserved: 0 }) }))
    .filter(({ spent, reserved, limit }) => spent + reserved >= limit);
  const usedUp = reached.filter(({ spent, limit }) => spent >= limit);
  const [first, ...others] = usedUp.length > 0 ? usedUp : reached;
  if (!first) return undefined;
  const { unit, span, limit, spent, reserved, renewsAt } = others.reduce(
    (last, one) => (one.renewsAt > last.renewsAt ? one : last),
    first,
  );
  const underWay =
    reserved > 0 ? ` and ${printAmount(unit, reserved)} reserved for requests under way` : '';
  const amounts = `${printAmount(unit, spent)} spent${underWay}, of ${printAmount(unit, limit)} per ${span} (UTC)`;
  if (usedUp.length === 0) {
    return {
      kind: 'reserved',
      message:
        `The rest of the budget of key '${keyId}' is reserved: ${amounts}. ` +
        `Try again when some of them have ended.`,
      retryAfterSeconds: retryReservedSeconds,
    };
  }
  const renewal = new Date(renewsAt).toISOString().replace('.000Z', 'Z');
  return {
    kind: 'used_up',
    message: `The budget of key '${keyId}' is used up: ${amounts}. It is renewed at ${renewal}.`,
    retryAfterSeconds: Math.max(1, Math.ceil((renewsAt - now) / 1000)),
  };
}

/** Formats as `12.50 USD`, with up to six decimals, or as `1200 tokens`. */
const printAmount = (unit: BudgetUnit, amount: number): string =>
  unit === 'tokens' ? `${amount} tokens` : usdText(amount);
