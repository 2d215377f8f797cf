import { gather } from '../../crashtest/crowd.ts';
import type { Stage } from '../../crashtest/case.ts';
import { callsOf } from '../../crashtest/rig.ts';
import { startFleet } from '../../test/kit/fleet.ts';
import type { Fleet } from '../../test/kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import type { Outcome } from './figures.ts';
import { noteTokens, outcomeOf, rescueOf, shownBeyond } from './rescue.ts';
import type { Story, TokenTimes } from './rescue.ts';

/* Measures a provider's socket that closes in the middle of an answer. */

const PACE_MS = 3;
const TOKENS = 50;
const AFTER = 40;
/** From this token on the backup's text differs, so the end of the text shows the strategy. */
const DIVERGE = 45;
const AT_A_TIME = 8;
const WARMUP = 16;

const style = `tokens=${TOKENS},pace=${PACE_MS}`;
const text = expectedText({ tokens: TOKENS, diverge: DIVERGE });
const shownLength = expectedText({ tokens: AFTER }).length;
const primary = { provider: 'primary', model: `cut:after=${AFTER},${style}` };
const other = `${style},diverge=${DIVERGE}`;

const models = {
  prefill: {
    targets: [primary, { provider: 'backup', model: `prefill:${other}`, prefill: true }],
  },
  anchor: { targets: [primary, { provider: 'backup', model: `anchored:anchor=exact,${other}` }] },
};
const ALIASES = ['prefill', 'anchor'] as const;
type Alias = (typeof ALIASES)[number];

const FIGURES_OF: Record<Alias, Story['figures']> = {
  prefill: { asked: 'cutPrefillAsked', next: 'cutPrefillNext' },
  anchor: { asked: 'cutAnchorAsked', next: 'cutAnchorNext' },
};

export interface CutRig {
  /** Runs `streams` streams of each kind, the kinds in turn. */
  round(streams: number, stage: Stage): Promise<Outcome>;
  close(): Promise<void>;
}

/** One ingress and one worker, warm. */
export async function startCutRig(stage: Stage): Promise<CutRig> {
  const fleet = await startFleet({ models });
  const times = noteTokens(fleet.backup);
  let count = 0;

  async function round(streams: number, roundStage: Stage): Promise<Outcome> {
    const stories: Story[] = [];
    const aliases = Array.from({ length: streams }, () => ALIASES).flat();
    const lane = async (): Promise<void> => {
      for (let alias = aliases.pop(); alias; alias = aliases.pop()) {
        roundStage.signal.throwIfAborted();
        count += 1;
        stories.push(await cutOne(fleet, times, alias, `cut-${count}`, roundStage));
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, lane));
    return outcomeOf(stories);
  }

  try {
    await round(WARMUP, stage);
  } catch (error) {
    await fleet.close();
    throw error;
  }
  return { round, close: () => fleet.close() };
}

async function cutOne(
  fleet: Fleet,
  times: TokenTimes,
  alias: Alias,
  name: string,
  stage: Stage,
): Promise<Story> {
  const story = { name: `${name}, ${alias}`, figures: FIGURES_OF[alias] };
  const crowd = gather(fleet.ingresses, { alias, count: 1, marker: name, text }, stage);
  const [told] = await crowd.ended;
  const [call] = callsOf(fleet.primary, `${name}-0.`);
  if (!told || call?.closedAt === undefined) return { ...story, rescue: 'no cut' };
  const rescue = rescueOf({
    at: call.closedAt,
    told,
    calls: callsOf(fleet.backup, `${name}-0.`),
    times,
    shownAt: shownBeyond(told.ended.events, shownLength),
    newTokens: TOKENS - AFTER,
  });
  return { ...story, rescue };
}
