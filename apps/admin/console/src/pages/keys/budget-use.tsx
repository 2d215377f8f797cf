import { ago, clock, count, usd } from '../../ui/format.ts';
import type { BudgetUse } from './types.ts';

/** What requests have used and reserved of an amount of a budget, as a share; of a limit of 0, all. */
export const shareOf = ({ limit, spent, reserved }: BudgetUse): number =>
  limit <= 0 ? 1 : (spent + reserved) / limit;

/** The amount of a budget that will be used up first. */
export const tightest = (uses: readonly BudgetUse[]): BudgetUse | undefined =>
  uses.toSorted((one, other) => shareOf(other) - shareOf(one))[0];

const amount = (value: number, unit: BudgetUse['unit']): string =>
  unit === 'USD' ? usd(value) : `${count(value)} tokens`;

const toneOf = (share: number): string => (share >= 1 ? 'bad' : share >= 0.9 ? 'warn' : 'good');

/** One bar: what was spent, then what requests under way have reserved. */
function Bar({ use }: { use: BudgetUse }) {
  const share = shareOf(use);
  const percent = (value: number) =>
    `${use.limit <= 0 ? 100 : Math.min(100, (value / use.limit) * 100)}%`;
  const label = `${amount(use.spent, use.unit)} of ${amount(use.limit, use.unit)} a ${use.per}`;
  return (
    <span
      class="budget-bar"
      data-tone={toneOf(share)}
      role="meter"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(Math.min(1, share) * 100)}
      aria-valuetext={label}
      aria-label="Budget"
    >
      <span class="spent" style={{ width: percent(use.spent) }} />
      <span class="reserved" style={{ width: percent(use.reserved) }} />
    </span>
  );
}

/** In a row of the table: the tightest amount. */
export function BudgetCell({ uses }: { uses: readonly BudgetUse[] }) {
  const use = tightest(uses);
  if (!use) return <span class="note">none</span>;
  return (
    <span class="budget-cell">
      <Bar use={use} />
      <span class="note">
        {Math.round(shareOf(use) * 100)} % of {amount(use.limit, use.unit)}/{use.per}
      </span>
    </span>
  );
}

/** All amounts of a key's budget. */
export function BudgetList({ uses }: { uses: readonly BudgetUse[] }) {
  return (
    <ul class="budget-list">
      {uses.map((use) => (
        <li key={use.per + use.unit}>
          <p>
            <strong>{amount(use.spent, use.unit)}</strong> of {amount(use.limit, use.unit)} a{' '}
            {use.per}
            {use.reserved > 0 && `, ${amount(use.reserved, use.unit)} reserved`}
          </p>
          <Bar use={use} />
          <p class="note">
            Renews {clock(use.renews_at)}.{' '}
            {use.confirmed_at === null
              ? 'Not confirmed by the ledger yet.'
              : `Confirmed ${ago(use.confirmed_at)}.`}
            {(use.unpriced_requests ?? 0) > 0 &&
              ` ${count(use.unpriced_requests)} requests of unknown price count as 0.`}
          </p>
        </li>
      ))}
    </ul>
  );
}
