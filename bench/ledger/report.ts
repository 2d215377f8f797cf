import { atMost, type Goal } from '../goal.ts';
import { number, type Part, table } from '../table.ts';
import type { LedgerResult } from './run.ts';

export const LEDGER_HEADING =
  'ledger: a SQLite file that the control plane’s own code fills and asks.';

export const ledgerReport = ({ rows, storedPerSecond, queries }: LedgerResult): Part[] => [
  table(['ledger', 'requests', 'stored/s'], [['SQLite', number(rows), number(storedPerSecond)]]),
  table(
    ['question', 'rows', 'ms'],
    queries.map(({ name, rows: found, ms }) => [name, number(found), number(ms)]),
  ),
];

/** Of issue and docs: usage by key and day over 1,000,000 requests in under a second. */
export const goalsOfLedger = ({ queries }: LedgerResult): Goal[] => [
  atMost(
    'usage by key and day of all requests in <= 1 s',
    queries[0]?.ms ?? Number.NaN,
    1000,
    'ms',
  ),
];
