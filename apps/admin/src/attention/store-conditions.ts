import { maxLedgerBacklog } from '@millrace/shared/domain/ledger';
import { usdText } from '@millrace/shared/cost/usd';
import { countOf, excerpt, pages, spanOf } from './condition.ts';
import type { Condition } from './condition.ts';
import type { BudgetAmount, FleetState } from './fleet-state.ts';

/* Conditions of what is kept: the ledger, Redis' memory, the budgets of keys. */

/** Milliseconds for which a ledger entry may wait for the database. */
const behindMs = 60_000;

export function ledgerConditions({ ledger, shards, now }: FleetState): Condition[] {
  if (!ledger) return [];
  const { waiting, problem, oldestAt, droppedLately } = ledger;
  const of = (code: string, severity: Condition['severity']) => ({
    code,
    subject: '',
    severity,
    link: pages.fleet,
  });
  const found: Condition[] = [];
  if (problem !== null) {
    found.push({
      ...of('ledger_failing', 'critical'),
      title: 'The database takes no ledger entries',
      detail: `${countOf(waiting, 'entry', 'entries')} ${waiting === 1 ? 'waits' : 'wait'} in Redis, because the database fails: ${excerpt(problem)}`,
    });
  }
  // A backlog that the failing database explains is no second condition.
  if (problem === null && oldestAt !== undefined && now - oldestAt > behindMs) {
    found.push({
      ...of('ledger_behind', 'warning'),
      title: 'The ledger is behind',
      detail: `${countOf(waiting, 'ended request')} ${waiting === 1 ? 'waits' : 'wait'} for the database, the oldest for ${spanOf(now - oldestAt)}.`,
      sinceAt: oldestAt + behindMs,
    });
  }
  if (droppedLately > 0 || waiting >= shards * maxLedgerBacklog) {
    found.push({
      ...of('ledger_dropping', 'critical'),
      title: 'Ended requests are missing from the ledger',
      detail: `${countOf(droppedLately, 'ended request')} found no room among ${countOf(waiting, 'entry', 'entries')} that ${waiting === 1 ? 'waits' : 'wait'} for the database: their cost is not recorded.`,
    });
  }
  return found;
}

export function webhookConditions({ webhooks }: FleetState): Condition[] {
  if (!webhooks) return [];
  const { dead, droppedLately } = webhooks;
  const found: Condition[] = [];
  if (dead > 0) {
    found.push({
      code: 'webhooks_dead',
      subject: '',
      severity: 'warning',
      title: 'Webhooks could not be delivered',
      detail: `${countOf(dead, 'delivery', 'deliveries')} of webhooks ${dead === 1 ? 'was' : 'were'} given up: replay or delete ${dead === 1 ? 'it' : 'them'}.`,
      link: pages.webhooks,
    });
  }
  if (droppedLately > 0) {
    found.push({
      code: 'webhooks_dropping',
      subject: '',
      severity: 'critical',
      title: 'Webhooks are lost',
      detail: `${countOf(droppedLately, 'job')} ended while too many deliveries waited: their webhooks are not sent.`,
      link: pages.webhooks,
    });
  }
  return found;
}

/** Share of `limits.queueMemory` above which Redis' memory is a warning. */
const memoryWarnShare = 0.85;

export function memoryConditions({ memory, queueMemory }: FleetState): Condition[] {
  if (!memory || memory.max === 0) return [];
  const percent = (100 * memory.used) / memory.max;
  if (percent < queueMemory * memoryWarnShare) return [];
  const isOver = percent >= queueMemory;
  return [
    {
      code: 'redis_memory',
      subject: '',
      severity: isOver ? 'critical' : 'warning',
      title: `Redis uses ${Math.floor(percent)} % of its memory`,
      detail: isOver
        ? `Redis uses ${mebibytes(memory.used)} of ${mebibytes(memory.max)}: above ${queueMemory} % ingresses reject new requests.`
        : `Redis uses ${mebibytes(memory.used)} of ${mebibytes(memory.max)}; from ${queueMemory} % on ingresses reject new requests.`,
      link: pages.fleet,
    },
  ];
}

const mebibytes = (bytes: number): string =>
  `${Math.round(bytes / 1024 / 1024).toLocaleString('en-US')} MiB`;

const nearlyShare = 0.9;

/** Of the amounts of one key the one that is used most. */
export function budgetConditions({ budgets }: FleetState): Condition[] {
  const worst = new Map<string, BudgetAmount>();
  for (const amount of budgets) {
    // A key with a budget of nothing is blocked on purpose.
    if (amount.limit.limit === 0) continue;
    const known = worst.get(amount.keyId);
    if (!known || shareOf(amount) > shareOf(known)) worst.set(amount.keyId, amount);
  }
  return [...worst.values()]
    .filter((amount) => shareOf(amount) >= nearlyShare)
    .map((amount) => {
      const { keyId, limit } = amount;
      const isUp = shareOf(amount) >= 1;
      return {
        code: isUp ? 'budget_used_up' : 'budget_nearly_used',
        subject: keyId,
        severity: isUp ? 'warning' : 'info',
        title: isUp
          ? `The budget of key ${keyId} is used up`
          : `Key ${keyId} has used ${Math.floor(100 * shareOf(amount))} % of its budget`,
        detail: `Key ${keyId} has used ${amountOf(limit, usedOf(amount))} of ${amountOf(limit, limit.limit)} per ${limit.span}${isUp ? ': its requests are refused until' : '; it is renewed at'} ${new Date(limit.renewsAt).toISOString()}.`,
        link: pages.keys,
      };
    });
}

const usedOf = ({ use }: BudgetAmount): number => use.spent + use.reserved;
const shareOf = (amount: BudgetAmount): number => usedOf(amount) / amount.limit.limit;

const amountOf = ({ unit }: BudgetAmount['limit'], amount: number): string =>
  unit === 'usd' ? usdText(amount) : countOf(amount, 'token');
