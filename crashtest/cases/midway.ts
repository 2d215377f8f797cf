import type { ProviderCase } from '../case.ts';
import { all, atMost, exactly, scenario } from '../scenario.ts';
import type { Evidence } from '../scenario.ts';

/* Faults in the middle of an answer. */

export const midway: readonly ProviderCase[] = [
  scenario({
    id: 'S08',
    title: 'cut after 40 of 60 tokens',
    primary: 's08',
    conduct: all(atMost('primary', 2), atMost('backup', 3)),
  }),
  scenario({
    id: 'S09',
    title: '20 tokens, then 30 s of silence',
    primary: { fast: 's09:silence=3000', full: 's09' },
    settings: { fast: { idleTimeout: '400ms' }, full: {} },
    withinMs: { fast: 4500, full: 45_000 },
    conduct: all(atMost('primary', 2), atMost('backup', 3)),
  }),
  scenario({
    id: 'S10',
    title: 'one malformed JSON event',
    primary: 's10',
    // It may have contained a part of the answer, so the continuation begins after the last word before it.
    conduct: all(atMost('primary', 2), atMost('backup', 3)),
  }),
  scenario({
    id: 'S11',
    title: 'complete, but no [DONE]',
    // It keeps the connection open, so waiting for the end of the response is wrong.
    primary: { fast: 's11:linger=6000', full: 's11:linger=20000' },
    withinMs: { fast: 3000, full: 8000 },
    conduct: all(exactly('primary', 1), exactly('backup', 0), usageOfAll),
  }),
  scenario({
    id: 'S14',
    title: 'cut after 40; the backup rejects prefill',
    primary: 's14',
    backup: 'no-prefill',
    // As in a config that is not up to date.
    prefill: true,
    conduct: all(atMost('primary', 2), atMost('backup', 4)),
  }),
];

function usageOfAll({ reading: { usage } }: Evidence): string[] {
  return usage?.completion_tokens === 60 ? [] : [`usage ${JSON.stringify(usage ?? null)}`];
}
