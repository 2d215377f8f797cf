import type { ProviderCase } from '../case.ts';
import { all, atMost, exactly, rescued, scenario, WHOLE } from '../scenario.ts';
import type { Evidence } from '../scenario.ts';
import { billing } from './billing.ts';

/* Faults before the first visible text. */

const usage = ({ reading: { usage: said } }: Evidence): string[] =>
  said?.completion_tokens === 60 ? [] : [`usage ${JSON.stringify(said ?? null)}`];

export const before: readonly ProviderCase[] = [
  scenario({
    id: 'S01',
    title: '429 with Retry-After, once',
    primary: { fast: 's01:retryAfter=1', full: 's01' },
    conduct: (evidence) => {
      const askedMs = evidence.profile === 'fast' ? 1000 : 2000;
      const [first, second] = evidence.primary;
      const complaints = atMost('primary', 2, askedMs * 0.75)(evidence);
      if (!first || !second) return [...complaints, 'the primary was not asked again'];
      const pause = second.arrivedAt - first.arrivedAt;
      const early = pause < askedMs * 0.9 ? [`asked again after ${Math.round(pause)} ms`] : [];
      return [...complaints, ...early, ...exactly('primary', 2)(evidence)];
    },
  }),
  scenario({
    id: 'S02',
    title: '429 without Retry-After, always',
    primary: 's02',
    conduct: all(atMost('primary', 4, 3000), atMost('primary', 6), atMost('backup', 1)),
  }),
  scenario({
    id: 'S03',
    title: '500 once',
    primary: 's03',
    conduct: all(exactly('primary', 2), exactly('backup', 0)),
  }),
  scenario({
    id: 'S04',
    title: '503 always',
    primary: 's04',
    conduct: all(atMost('primary', 6), atMost('backup', 1)),
  }),
  scenario({
    id: 'S05',
    title: 'reset before headers, once',
    primary: 's05',
    conduct: all(atMost('primary', 6), atMost('backup', 1)),
  }),
  scenario({
    id: 'S06',
    title: 'accepts, never answers',
    primary: 's06',
    settings: { fast: { firstTokenTimeout: '400ms' }, full: {} },
    conduct: all(exactly('primary', 1), exactly('backup', 1)),
  }),
  scenario({
    id: 'S07',
    title: 'first token after 20 s',
    primary: { fast: 's07:first=4000', full: 's07' },
    settings: { fast: { firstTokenTimeout: '400ms' }, full: {} },
    withinMs: { fast: 3000, full: 15_000 },
    conduct: all(atMost('primary', 1), atMost('backup', 1)),
  }),
  scenario({
    id: 'S12',
    title: '400 context_length_exceeded',
    primary: 's12',
    conduct: all(exactly('primary', 1), exactly('backup', 1)),
  }),
  scenario({
    id: 'S13',
    title: '400 content filter',
    primary: 's13',
    judge: contentFilter,
  }),
  scenario({
    id: 'S16',
    title: '503 always: the provider that is named',
    primary: 's16',
    conduct: async (evidence) => [...usage(evidence), ...(await billing(evidence))],
  }),
];

/** A provider's verdict on the request is passed to the client, and no other provider is called. */
function contentFilter(evidence: Evidence) {
  const { reading, backup, primary } = evidence;
  if (backup.length > 0) return { verdict: 'fail' as const, reason: 'routed around the filter' };
  const seen = rescued(reading, WHOLE);
  if (seen.verdict !== 'safe') {
    const reason = seen.verdict === 'pass' ? 'an answer in spite of the filter' : seen.reason;
    return { verdict: 'fail' as const, reason };
  }
  const said = JSON.stringify(reading.error);
  if (!said.includes('content_filter') && !said.includes('content management')) {
    return { verdict: 'safe' as const, reason: `not the provider's reason: ${said}` };
  }
  const complaints = [
    ...exactly('primary', 1)(evidence),
    ...(reading.status === 400 ? [] : [`status ${reading.status}`]),
  ];
  return complaints.length === 0
    ? { verdict: 'pass' as const, reason: `${primary.length} attempt, its reason to the client` }
    : { verdict: 'partial' as const, reason: complaints.join('; ') };
}
