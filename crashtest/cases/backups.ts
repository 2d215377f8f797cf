import { expectedText } from '../../apps/simulator/src/index.ts';
import type { LoggedRequest } from '../../apps/simulator/src/index.ts';
import type { ProviderCase, Verdict } from '../case.ts';
import { atMost, scenario } from '../scenario.ts';
import type { Evidence } from '../scenario.ts';

/*
 * Backups that do not repeat the answer. The primary is cut after 40 of 60 tokens. Each answer is complete or
 * ends with one clear error; if a backup can be continued, the suitable strategy must be the one that worked.
 */

const isOr: readonly Verdict[] = ['pass', 'safe'];

/** From its 50th token on this backup's text differs: a complete answer of its own after the seam. */
const OTHER_END = 'diverge=50';
const otherEnd = expectedText({ tokens: 60, diverge: 50 });

export const backups: readonly ProviderCase[] = [
  scenario({
    id: 'B01',
    title: 'the same from zero',
    primary: 'cut',
    backup: 'healthy',
    conduct: by('replay'),
  }),
  scenario({
    id: 'B02',
    title: 'different from zero',
    expected: ['safe'],
    primary: 'cut',
    backup: 'healthy:diverge=20',
  }),
  scenario({
    id: 'B03',
    title: 'different from the first word',
    expected: ['safe'],
    primary: 'cut',
    backup: 'healthy:seed=7',
  }),
  scenario({
    id: 'B04',
    title: 'takes prefill',
    primary: 'cut',
    backup: `prefill:${OTHER_END}`,
    prefill: true,
    text: otherEnd,
    conduct: by('continue'),
  }),
  scenario({
    id: 'B05',
    title: 'said to take prefill, begins anew',
    primary: 'cut',
    backup: 'healthy',
    prefill: true,
  }),
  obeys('B06', 'anchor exact', 'exact'),
  obeys('B07', 'anchor behind a preamble', 'preamble'),
  obeys('B08', 'anchor in quotes', 'quoted'),
  obeys('B09', 'anchor with curly quotes', 'curly', 'quotes=1'),
  obeys('B10', 'anchor with other white space', 'spaces'),
  obeys('B11', 'anchor in many scripts', 'exact', 'unicode=1'),
  scenario({
    id: 'B12',
    title: 'drift in the anchor',
    expected: isOr,
    primary: 'cut',
    backup: 'anchored:anchor=drift',
  }),
  scenario({
    id: 'B13',
    title: 'drift in the anchor, and different from zero',
    expected: ['safe'],
    primary: 'cut',
    backup: 'anchored:anchor=drift,diverge=20',
  }),
  scenario({
    id: 'B14',
    title: 'goes on without the anchor',
    expected: isOr,
    primary: 'cut',
    backup: 'anchored:anchor=none',
  }),
  scenario({
    id: 'B15',
    title: 'a text that repeats the anchor phrase',
    expected: isOr,
    primary: 'cut:repeat=12',
    backup: `anchored:anchor=exact,repeat=12,${OTHER_END}`,
    text: expectedText({ tokens: 60, repeat: 12, diverge: 50 }),
  }),
  scenario({
    id: 'B16',
    title: 'a long list: no anchor names one place',
    expected: isOr,
    primary: 'cut:after=300,tokens=360,repeat=5',
    backup: 'anchored:anchor=exact,tokens=360,repeat=5,diverge=330',
    text: expectedText({ tokens: 360, repeat: 5, diverge: 330 }),
  }),
];

/** The anchor must have continued the answer, not a replay after a failed anchor. */
function obeys(id: string, title: string, style: string, more?: string): ProviderCase {
  const extra = more === undefined ? '' : `,${more}`;
  const [key, value] = more?.split('=') ?? [];
  return scenario({
    id,
    title,
    primary: more === undefined ? 'cut' : `cut:${more}`,
    backup: `anchored:anchor=${style},${OTHER_END}${extra}`,
    text: expectedText({
      tokens: 60,
      diverge: 50,
      ...(key === undefined ? {} : { [key]: Number(value) }),
    }),
    conduct: by('anchor'),
  });
}

type Way = 'replay' | 'continue' | 'anchor';

/** Only Millrace must use a certain strategy: other proxies may have better ones. */
function by(way: Way) {
  return (evidence: Evidence): string[] => {
    const last = evidence.backup.at(-1);
    const gone = evidence.rig.isMillrace && last ? wayOf(last) : way;
    return [...atMost('backup', 3)(evidence), ...(gone === way ? [] : [`by ${gone}, not ${way}`])];
  };
}

/** The strategy with which the backup was asked, according to its request. */
function wayOf({ body }: LoggedRequest): Way {
  const { messages = [] } = body as { messages?: { role: string }[] };
  if (messages.at(-1)?.role === 'assistant') return 'continue';
  return messages.at(-2)?.role === 'assistant' ? 'anchor' : 'replay';
}
