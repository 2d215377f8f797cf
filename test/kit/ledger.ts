import { expect } from 'vitest';
import type { Fleet } from './fleet.ts';

export type LedgerRequest = {
  id: string;
  status: string;
  user: string | null;
  rescues: number;
  max_gap_ms: number | null;
  usage: { input_tokens: number; output_tokens: number; estimated: boolean };
  cost: number | null;
  attempts: { provider: string; outcome: string; mode: string; usage: { output_tokens: number } }[];
};

export async function getLedger<T>(fleet: Fleet, path: string): Promise<T> {
  const response = await fetch(`${fleet.url}/admin/${path}`);
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

/** Everything that ended, once the ledger has so many requests. */
export async function expectRequests(fleet: Fleet, count: number): Promise<LedgerRequest[]> {
  const list = async () =>
    (await getLedger<{ data: LedgerRequest[] }>(fleet, 'requests?limit=1000')).data;
  await expect.poll(async () => (await list()).length).toBe(count);
  return list();
}
