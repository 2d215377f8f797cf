import { randomUUID } from 'node:crypto';
import type { LoggedRequest } from '../apps/simulator/src/index.ts';
import { expectedText } from '../apps/simulator/src/index.ts';
import { both } from './case.ts';
import type { ByProfile, Outcome, ProviderCase, Stage, Verdict } from './case.ts';
import { send } from '../test/kit/exchange.ts';
import type { Ended } from '../test/kit/exchange.ts';
import { difference, longestGap, readAnswer } from '../test/kit/reading.ts';
import type { Reading } from '../test/kit/reading.ts';
import { callsOf, question } from './rig.ts';
import type { Rig } from './rig.ts';

/** The facts about one request after its end. */
export type Evidence = {
  profile: Stage['profile'];
  reading: Reading;
  ended: Ended;
  primary: readonly LoggedRequest[];
  backup: readonly LoggedRequest[];
  rig: Rig;
};

export type Scenario = {
  id: string;
  title: string;
  expected?: readonly Verdict[];
  /** Models of the simulated providers. */
  primary: string | ByProfile<string>;
  backup?: string;
  prefill?: boolean;
  settings?: ByProfile<Readonly<Record<string, unknown>>>;
  /** The whole answer; @defaultValue the simulated text of 60 tokens */
  text?: string;
  /** The answer must have ended by then; milliseconds. */
  withinMs?: ByProfile<number>;
  /** Faults in the calls of the providers, as texts for the scorecard. */
  conduct?(evidence: Evidence): readonly string[] | Promise<readonly string[]>;
  /** Replaces the check for a complete answer. */
  judge?(evidence: Evidence): { verdict: Verdict; reason: string };
};

export const WHOLE = expectedText({ tokens: 60 });

/** A case of one streamed request. */
export function scenario(facts: Scenario): ProviderCase {
  const { id, title, expected, primary, backup = 'healthy', prefill = false } = facts;
  return {
    kind: 'provider',
    id,
    title,
    ...(expected ? { expected } : {}),
    primary: typeof primary === 'string' ? both(primary) : primary,
    backup: both(backup),
    prefill,
    settings: facts.settings ?? both({}),
    run: (rig, alias, stage) => runScenario(facts, rig, alias, stage),
  };
}

async function runScenario(
  facts: Scenario,
  rig: Rig,
  alias: string,
  stage: Stage,
): Promise<Outcome> {
  const marker = markerOf(facts.id);
  const ended = await ask(rig, alias, marker, stage).ended;
  const reading = readAnswer(ended);
  const primary = callsOf(rig.primary, marker);
  const backup = callsOf(rig.backup, marker);
  const evidence: Evidence = { profile: stage.profile, reading, ended, primary, backup, rig };
  const [first] = reading.textAt;
  return {
    ...(facts.judge?.(evidence) ?? (await judge(facts, evidence))),
    attempts: { primary: primary.length, backup: backup.length },
    totalMs: ended.endedAt - ended.startedAt,
    ...(first === undefined ? {} : { firstMs: first - ended.startedAt }),
    longestGapMs: longestGap(reading.textAt),
  };
}

export const markerOf = (id: string): string => `crashtest-${id}-${randomUUID().slice(0, 8)}`;

export const ask = (rig: Rig, alias: string, marker: string, stage: Stage, more: object = {}) =>
  send(rig.url, {
    headers: rig.headers,
    body: question(alias, marker, {
      stream: true,
      stream_options: { include_usage: true },
      ...more,
    }),
    patienceMs: stage.patienceMs,
    signal: stage.signal,
  });

async function judge(
  { text = WHOLE, withinMs, conduct }: Scenario,
  evidence: Evidence,
): Promise<{ verdict: Verdict; reason: string }> {
  const { reading, ended, profile } = evidence;
  const rescue = rescued(reading, text);
  if (rescue.verdict !== 'pass') return rescue;
  const allowed = withinMs?.[profile] ?? Infinity;
  const took = ended.endedAt - ended.startedAt;
  if (took > allowed) {
    return { verdict: 'fail', reason: `whole, but after ${seconds(took)} of ${seconds(allowed)}` };
  }
  const complaints = [...reading.oddities, ...((await conduct?.(evidence)) ?? [])];
  return complaints.length === 0
    ? { verdict: 'pass', reason: '' }
    : { verdict: 'partial', reason: complaints.join('; ') };
}

/** Judges the reader's side only: the complete answer, one clear error after a correct beginning, or neither. */
export function rescued(reading: Reading, text: string): { verdict: Verdict; reason: string } {
  if (reading.end === 'bad') return { verdict: 'fail', reason: reading.why };
  if (reading.end === 'error') {
    const said = `${reading.error?.code ?? reading.status}: ${reading.error?.message ?? ''}`;
    return text.startsWith(reading.text)
      ? { verdict: 'safe', reason: said }
      : { verdict: 'fail', reason: `garbled before the error ${said}` };
  }
  const wrong = difference(reading.text, text);
  return wrong === undefined ? { verdict: 'pass', reason: '' } : { verdict: 'fail', reason: wrong };
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

// Checks for `conduct`.

/** Expects exactly `wanted` calls. */
export function exactly(
  provider: 'primary' | 'backup',
  wanted: number,
): (evidence: Evidence) => string[] {
  return (evidence) => {
    const count = evidence[provider].length;
    return count === wanted ? [] : [`${count} attempts at the ${provider}, ${wanted} are right`];
  };
}

/** Expects at most `most` calls, in the first `ms` milliseconds or in total. */
export function atMost(
  provider: 'primary' | 'backup',
  most: number,
  ms = Infinity,
): (evidence: Evidence) => string[] {
  return (evidence) => {
    const calls = evidence[provider];
    const since = calls[0]?.arrivedAt ?? 0;
    const count = calls.filter(({ arrivedAt }) => arrivedAt - since <= ms).length;
    const when = ms === Infinity ? '' : ` in ${seconds(ms)}`;
    return count <= most ? [] : [`${count} attempts at the ${provider}${when}, at most ${most}`];
  };
}

export const all =
  (...rules: ((evidence: Evidence) => readonly string[])[]) =>
  (evidence: Evidence): string[] =>
    rules.flatMap((rule) => rule(evidence));
