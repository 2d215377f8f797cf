import { setTimeout as sleep } from 'node:timers/promises';
import { both } from '../case.ts';
import type { Outcome, ProviderCase, Stage, Verdict } from '../case.ts';
import type { Ended } from '../client.ts';
import { longestGap, readAnswer } from '../reading.ts';
import { callsOf } from '../rig.ts';
import type { Rig } from '../rig.ts';
import { ask, markerOf, rescued, seconds, WHOLE } from '../scenario.ts';

const requests = 20;
const downMs = { fast: 3000, full: 60_000 };
/** The last requests come after the outage. */
const everyMs = { fast: 200, full: 4000 };
/** The primary must answer again so soon after it can. */
const backWithinMs = { fast: 1500, full: 30_000 };
/** Upstream calls of one request at a target that is down. */
const mostAtDead = 6;

type Served = {
  ended: Ended;
  verdict: Verdict;
  reason: string;
  dead: number;
  byPrimaryAt?: number;
};

/** S15: an outage that ends. Twenty requests meet it one after the other. */
export const outage: ProviderCase = {
  kind: 'provider',
  id: 'S15',
  title: '503 for 60 s, then healthy; 20 requests',
  primary: { fast: `s15:down=${downMs.fast}`, full: 's15' },
  backup: both('healthy'),
  prefill: false,
  settings: both({}),
  async run(rig, alias, stage) {
    const outageId = markerOf('S15');
    const served = await Promise.all(
      Array.from({ length: requests }, async (_, i) => {
        await sleep(i * everyMs[stage.profile], undefined, { signal: stage.signal });
        return serve(rig, alias, outageId, i, stage);
      }),
    );
    return verdictOf(served, rig, outageId, stage);
  },
};

/** The provider tells an outage by the `user`; each request has its own words besides. */
async function serve(
  rig: Rig,
  alias: string,
  outageId: string,
  number: number,
  stage: Stage,
): Promise<Served> {
  const marker = `${outageId}-request-${number}.`;
  const ended = await ask(rig, alias, marker, stage, { user: outageId }).ended;
  const calls = callsOf(rig.primary, marker);
  const good = calls.find(({ status }) => status === 200);
  return {
    ended,
    ...rescued(readAnswer(ended), WHOLE),
    dead: calls.filter(({ status }) => status === 503).length,
    ...(good ? { byPrimaryAt: good.arrivedAt } : {}),
  };
}

function verdictOf(served: readonly Served[], rig: Rig, id: string, stage: Stage): Outcome {
  const primary = callsOf(rig.primary, id);
  const recoversAt = (primary[0]?.arrivedAt ?? 0) + downMs[stage.profile];
  const backAt = Math.min(...served.map(({ byPrimaryAt = Infinity }) => byPrimaryAt));
  const back = backAt - recoversAt;
  const dead = served.map((one) => one.dead);
  const starts = served.map(({ ended }) => ended.startedAt);
  const ends = served.map(({ ended }) => ended.endedAt);
  const facts = {
    attempts: { primary: primary.length, backup: callsOf(rig.backup, id).length },
    totalMs: Math.max(...ends) - Math.min(...starts),
    longestGapMs: Math.max(...served.map(({ ended }) => longestGap(readAnswer(ended).textAt))),
    figures: {
      deadAttempts: dead.reduce((sum, count) => sum + count, 0),
      backAfterMs: Math.round(back),
      slowestMs: Math.round(
        Math.max(...served.map(({ ended }) => ended.endedAt - ended.startedAt)),
      ),
    },
  };
  const lost = served.filter(({ verdict }) => verdict !== 'pass');
  if (lost.length > 0) {
    const isSafe = lost.every(({ verdict }) => verdict === 'safe');
    const reason = `${lost.length} of ${served.length} not served: ${lost[0]?.reason}`;
    return { ...facts, verdict: isSafe ? 'safe' : 'fail', reason };
  }
  const allowed = backWithinMs[stage.profile];
  const complaints = [
    ...(back > allowed ? [`not back on the primary ${seconds(allowed)} after its recovery`] : []),
    ...(Math.max(...dead) > mostAtDead ? [`${Math.max(...dead)} attempts for one request`] : []),
  ];
  return complaints.length === 0
    ? {
        ...facts,
        verdict: 'pass',
        reason: `${facts.figures.deadAttempts} attempts while it was down`,
      }
    : { ...facts, verdict: 'partial', reason: complaints.join('; ') };
}
