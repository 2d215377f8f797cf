import { setTimeout as sleep } from 'node:timers/promises';
import type { LoggedRequest } from '../../apps/simulator/src/index.ts';
import { both } from '../case.ts';
import type { Outcome, ProviderCase, Stage, Verdict } from '../case.ts';
import type { Ended } from '../../test/kit/exchange.ts';
import { longestGap, readAnswer } from '../../test/kit/reading.ts';
import { callsOf } from '../rig.ts';
import type { Rig } from '../rig.ts';
import { ask, markerOf, rescued, seconds, WHOLE } from '../scenario.ts';

const requests = 20;
const downMs = { fast: 3000, full: 60_000 };
/** The last requests come after the outage. */
const everyMs = { fast: 200, full: 4000 };
/** Milliseconds after its recovery within which the primary must answer again, for any proxy: the catalogue's. */
const backWithinMs = { fast: 1500, full: 30_000 };
/** Upstream calls of one request at a target that is down. */
const mostAtDead = 6;
/**
 * A breaker needs requests to notice a recovery, so after the twenty more follow, from `fromMs` before the
 * recovery until the primary has answered again; milliseconds.
 */
const followers = { fromMs: { fast: 0, full: 6000 }, everyMs: 250, untilMs: 8000 };
/** Millrace's own goals, beyond the catalogue. */
const goals = {
  /** Failures until the target is given up, which are not limited in rate. */
  failures: 5,
  /** Milliseconds until every worker is informed. */
  toldWithinMs: 50,
  /** Attempts of the whole fleet at the dead target after that, in any second. */
  perSecond: 1,
  backWithinMs: 5000,
};

type Served = {
  ended: Ended;
  verdict: Verdict;
  reason: string;
  /** Its calls at the target that was down. */
  dead: readonly LoggedRequest[];
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
    const catalogue = Array.from({ length: requests }, async (_, i) => {
      await sleep(i * everyMs[stage.profile], undefined, { signal: stage.signal });
      return serve(rig, alias, outageId, i, stage);
    });
    const [served, after] = await Promise.all([
      Promise.all(catalogue),
      follow(rig, alias, outageId, stage),
    ]);
    return verdictOf([...served, ...after], rig, outageId, stage);
  },
};

async function follow(
  rig: Rig,
  alias: string,
  outageId: string,
  stage: Stage,
): Promise<readonly Served[]> {
  const { signal, profile } = stage;
  await sleep(downMs[profile] - followers.fromMs[profile], undefined, { signal });
  const served: Promise<Served>[] = [];
  const isBack = () => callsOf(rig.primary, outageId).some(({ status }) => status === 200);
  const most = (followers.fromMs[profile] + followers.untilMs) / followers.everyMs;
  while (!isBack() && served.length < most) {
    served.push(serve(rig, alias, outageId, requests + served.length, stage));
    await sleep(followers.everyMs, undefined, { signal });
  }
  return Promise.all(served);
}

/**
 * The most calls at the dead target in any second, by requests that the client sent after the target had
 * failed often enough to be given up. A request that was under way by then may be at the target already.
 */
function mostPerSecond(served: readonly Served[]): number {
  const failed = served.flatMap(({ dead }) => dead);
  const failedAt = failed.map(({ closedAt = 0 }) => closedAt).sort((a, b) => a - b);
  const givenUpAt = (failedAt[goals.failures - 1] ?? Infinity) + goals.toldWithinMs;
  const asked = served.filter(({ ended }) => ended.startedAt > givenUpAt);
  const late = asked.flatMap(({ dead }) => dead.map(({ arrivedAt }) => arrivedAt));
  const counts = late.map((from) => late.filter((at) => at >= from && at < from + 1000).length);
  return Math.max(0, ...counts);
}

/** The provider identifies an outage by the `user`; each request has a marker of its own as well. */
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
    dead: calls.filter(({ status }) => status === 503),
    ...(good ? { byPrimaryAt: good.arrivedAt } : {}),
  };
}

function verdictOf(served: readonly Served[], rig: Rig, id: string, stage: Stage): Outcome {
  const primary = callsOf(rig.primary, id);
  const recoversAt = (primary[0]?.arrivedAt ?? 0) + downMs[stage.profile];
  const backAt = Math.min(...served.map(({ byPrimaryAt = Infinity }) => byPrimaryAt));
  const back = backAt - recoversAt;
  const dead = served.map((one) => one.dead.length);
  const perSecond = mostPerSecond(served);
  const starts = served.map(({ ended }) => ended.startedAt);
  const ends = served.map(({ ended }) => ended.endedAt);
  const facts = {
    attempts: { primary: primary.length, backup: callsOf(rig.backup, id).length },
    totalMs: Math.max(...ends) - Math.min(...starts),
    longestGapMs: Math.max(...served.map(({ ended }) => longestGap(readAnswer(ended).textAt))),
    figures: {
      deadAttempts: dead.reduce((sum, count) => sum + count, 0),
      deadPerSecond: perSecond,
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
  const allowed = rig.isMillrace ? goals.backWithinMs : backWithinMs[stage.profile];
  const complaints = [
    ...(rig.isMillrace && perSecond > goals.perSecond
      ? [`${perSecond} attempts at the dead target in one second`]
      : []),
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
