import { send } from '../../test/kit/exchange.ts';
import type { Evidence } from '../scenario.ts';

type Ledger = { attempts?: { provider: string; outcome: string; usage?: unknown }[] };

/** The answer names the provider that made it, and only that one is charged. */
export async function billing({ reading, ended, backup, rig }: Evidence): Promise<string[]> {
  const model = backup.at(-1)?.model ?? '';
  const complaints = reading.model === model ? [] : [`model ${reading.model}, not ${model}`];
  if (!rig.isMillrace) return complaints;

  const servedBy = String(ended.headers['x-millrace-served-by']);
  if (servedBy !== `backup/${model}`) complaints.push(`x-millrace-served-by ${servedBy}`);
  const id = String(ended.headers['x-request-id']);
  const page = await send(rig.url.replace('/chat/completions', `/jobs/${id}`), {
    patienceMs: 5000,
    signal: AbortSignal.timeout(5000),
  }).ended;
  const { attempts = [] } = JSON.parse(page.text || '{}') as Ledger;
  const billed = attempts.filter((one) => one.provider === 'primary' && one.usage != null);
  const paid = attempts.filter(({ outcome, usage }) => outcome === 'completed' && usage != null);
  if (billed.length > 0) complaints.push(`${billed.length} failed attempts have usage`);
  if (paid.length !== 1) complaints.push(`${paid.length} ledger entries of a whole answer`);
  return complaints;
}
