import { expect } from 'vitest';
import type { Fleet } from './fleet.ts';

export type LedgerRequest = {
  id: string;
  status: string;
  user: string | null;
  rescues: number;
  max_gap_ms: number | null;
  first_token_ms: number | null;
  usage: { input_tokens: number; output_tokens: number; estimated: boolean };
  cost: number | null;
  attempts: { provider: string; outcome: string; mode: string; usage: { output_tokens: number } }[];
};

export async function getLedger<T>(fleet: Fleet, path: string): Promise<T> {
  const response = await fetch(`${fleet.url}/admin/${path}`);
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

/**
 * The row of a request, once the ledger has it with the ends of so many attempts: those of a cancelled request follow its row.
 * `GET /admin/requests/{id}` would answer before, from Redis, without what the ledger adds.
 */
export async function rowOf<T extends LedgerRequest>(
  fleet: Fleet,
  id: string,
  attempts: number,
): Promise<T> {
  const find = async () =>
    (await getLedger<{ data: T[] }>(fleet, 'requests?limit=1000')).data.find(
      (row) => row.id === id,
    );
  const isKnown = ({ outcome }: { outcome: string }) => outcome !== 'unknown';
  await expect.poll(async () => (await find())?.attempts.filter(isKnown).length).toBe(attempts);
  return (await find()) as T;
}

/** Everything that ended, once the ledger has so many requests. */
export async function expectRequests(fleet: Fleet, count: number): Promise<LedgerRequest[]> {
  const list = async () =>
    (await getLedger<{ data: LedgerRequest[] }>(fleet, 'requests?limit=1000')).data;
  await expect.poll(async () => (await list()).length).toBe(count);
  return list();
}
