import { compareEntryIds, decodeEntry, isTerminal } from '@millrace/shared/domain/entry';
import type { Entry } from '@millrace/shared/domain/entry';
import { faultTable } from '@millrace/shared/domain/fault';
import { expect } from 'vitest';
import { encodeStream } from '../../apps/ingress/src/api/chat-completions/encoder.ts';
import { emptyHistory, applyLine } from '../../apps/worker/src/continuation/history.ts';
import { maxCallsWithoutProgress } from '../../apps/worker/src/continuation/progress.ts';
import { longestRetryAfterMs } from '../../apps/worker/src/continuation/retry-policy.ts';
import { fallingId, storyOf } from '../kit/reading.ts';
import { readStrictly } from '../kit/strict-event-stream.ts';
import type { Item } from './reader.ts';
import type { Scenario, Spoken } from './scenario.ts';
import { firstTokenTimeoutMs, idleTimeoutMs } from './upstreams.ts';
import type { World } from './world.ts';

/* What any reader may be shown, whatever happened. */

type Delta = {
  role?: string;
  content?: string;
  refusal?: string;
  reasoning_content?: string;
  reasoning?: string;
  reasoning_details?: { text?: string; signature?: string }[];
  annotations?: { index: number; at: string }[];
  token_id?: number;
  tool_calls?: { index: number; id?: string; function?: { arguments?: string } }[];
};
type Chunk = {
  id: string;
  created: number;
  model: string;
  choices: {
    index: number;
    delta: Delta;
    text?: string;
    logprobs?: { content: { token: string }[] | null };
    finish_reason: string | null;
  }[];
};

type SpokenChoice = Spoken & {
  roles: number;
  finishes: number;
  /** What its reasoning was called. */
  names: Set<string>;
  /** The texts of its reasoning's parts, and how often they were signed. */
  details: string;
  signatures: number;
  cited: string[];
  tokens: string;
};
/** What stands between two resets. */
type Segment = { spokenChoices: Map<number, SpokenChoice>; ids: Set<string>; usages: number };

export type Ending = 'done' | 'failed' | 'cancelled';

/** Throws unless what the readers were sent is one answer, or a true beginning of one and one clear end. */
export function judge(world: World, scenario: Scenario): Ending {
  expect(world.errors).toEqual([]);
  const [first, ...later] = world.readers;
  if (!first) throw new Error('nobody reads');
  const { items, lines } = first;

  expect(fallingId(items), 'ids rise').toBeUndefined();
  const { ends } = storyOf(items);
  expect(ends, 'one end').toHaveLength(1);
  expect(items.at(-1), 'and nothing behind it').toBe(ends[0]);
  for (const reader of later) {
    const behind = lines.filter((line) => compareEntryIds(line, reader.after) > 0);
    expect(reader.lines, 'every reader is given the same').toEqual(behind);
  }
  if (scenario.reader === 'plain') {
    expect(
      items.filter(({ event }) => event === 'reset'),
      'a plain reader forgets nothing',
    ).toEqual([]);
  }

  if (scenario.reader === 'plain') {
    expect(faultOf(items), 'an SDK reads it to its end').toBeUndefined();
  }

  const segments = segmentsOf(items);
  for (const segment of segments) judgeSegment(segment, world, scenario);
  const last = segments.at(-1) ?? newSegment();
  const end = ends[0]?.event as Ending;
  if (end === 'done') judgeWhole(last, world, scenario);
  if (end === 'failed') judgeError(last, ends[0]?.data ?? '');
  judgeLedger(world, scenario, end);
  judgeEnds(world, scenario, end);
  judgeSpeakers(world);
  judgeTime(world, scenario);
  for (const worker of world.workers) {
    expect(
      worker.calls.filter(({ closed }) => !closed),
      'no call is left open',
    ).toEqual([]);
  }
  return end;
}

const plain = encodeStream({ includeUsage: true, withIds: false });

/** Where an SDK would stumble over a plain stream, as the ingress sends it to a client that asked for usage. */
function faultOf(items: readonly Item[]): string | undefined {
  const strict = readStrictly({ usage: true });
  for (const { event, data } of items) {
    if (event === 'chunk' || event === 'usage') strict.push(`data: ${data}\n\n`);
    else if (event === 'done') strict.push(plain.end());
    else strict.push(plain.error(lastWords));
  }
  strict.end(true);
  return strict.fault?.message;
}

const lastWords = { message: 'no', type: 'server_error', param: null, code: null };

const newSegment = (): Segment => ({ spokenChoices: new Map(), ids: new Set(), usages: 0 });

function segmentsOf(items: readonly Item[]): Segment[] {
  const segments = [newSegment()];
  for (const { event, data } of items) {
    const segment = segments.at(-1) ?? newSegment();
    if (event === 'reset') segments.push(newSegment());
    if (event === 'usage') segment.usages += 1;
    if (event === 'chunk') add(segment, JSON.parse(data) as Chunk);
  }
  return segments;
}

function add(segment: Segment, { id, created, model, choices, ...rest }: Chunk): void {
  segment.ids.add(`${id} ${created} ${model}`);
  expect('usage' in rest, 'a usage beside a part of the answer').toBe(false);
  for (const choice of choices) {
    const { index, delta, finish_reason: reason } = choice;
    const spoken = segment.spokenChoices.get(index) ?? newChoice();
    segment.spokenChoices.set(index, spoken);
    const { role, content = '', tool_calls: calls = [] } = delta;
    const reasoning = delta.reasoning_content ?? delta.reasoning ?? '';
    addBeside(spoken, choice);
    expect(delta.refusal, 'no refusal behind a part of an answer').toBeUndefined();
    if (spoken.finishes > 0) {
      expect(content + reasoning + calls.length, 'nothing is said after its end').toBe('0');
    }
    if (role !== undefined) spoken.roles += 1;
    spoken.content += content;
    spoken.reasoning += reasoning;
    for (const { index: at, id: callId, function: call } of calls) {
      if (callId !== undefined) expect(spoken.calls[at], 'a call begins once').toBeUndefined();
      spoken.calls[at] = (spoken.calls[at] ?? '') + (call?.arguments ?? '');
    }
    if (reason !== null) spoken.finishes += 1;
  }
}

const newChoice = (): SpokenChoice => ({
  reasoning: '',
  content: '',
  calls: [],
  roles: 0,
  finishes: 0,
  names: new Set(),
  details: '',
  signatures: 0,
  cited: [],
  tokens: '',
});

/** What comes along with the words of a choice. */
function addBeside(
  spoken: SpokenChoice,
  { delta, text, logprobs }: Chunk['choices'][number],
): void {
  for (const name of ['reasoning_content', 'reasoning'] as const) {
    if (delta[name] !== undefined) spoken.names.add(name);
  }
  for (const part of delta.reasoning_details ?? []) {
    spoken.details += part.text ?? '';
    if (part.signature !== undefined) spoken.signatures += 1;
  }
  for (const { index, at } of delta.annotations ?? []) spoken.cited.push(`${index} ${at}`);
  for (const { token } of logprobs?.content ?? []) spoken.tokens += token;
  if (text !== undefined && text !== '') expect(text, 'no more than the text').toBe(delta.content);
}

function judgeBeside(spoken: SpokenChoice, { signed, logprobs }: Scenario): void {
  const { reasoning, content, names, details, signatures, cited, tokens } = spoken;
  expect(names.size, 'one name of reasoning').toBeLessThanOrEqual(1);
  expect(details, 'its parts say the same').toBe(signed ? reasoning : '');
  expect(signatures, 'one signature').toBeLessThanOrEqual(1);
  expect(cited, 'each citation once').toEqual([...new Set(cited)]);
  expect(tokens, 'a log probability of each token').toBe(logprobs ? content : '');
}

function judgeSegment(
  { spokenChoices, ids, usages }: Segment,
  { calls }: World,
  scenario: Scenario,
): void {
  expect(ids.size, 'one id, one time, one model').toBeLessThanOrEqual(1);
  expect(usages, 'one usage').toBeLessThanOrEqual(1);
  for (const spoken of spokenChoices.values()) {
    const { roles, finishes, content, reasoning, calls: toolCalls } = spoken;
    judgeBeside(spoken, scenario);
    expect(finishes, 'one finish_reason').toBeLessThanOrEqual(1);
    expect(roles, 'one role').toBeLessThanOrEqual(1);
    const says = content + reasoning !== '' || toolCalls.length > 0;
    if (says) expect(roles, 'a role before the first word').toBe(1);
  }
  const isTrue = calls.some(({ whole }) => whole && isBeginning(spokenChoices, whole, scenario));
  if (!isTrue && spokenChoices.size > 0) {
    expect([...spokenChoices.values()], 'a beginning of an answer that somebody gave').toEqual(
      calls.flatMap(({ whole }) => (whole ? [whole] : [])),
    );
  }
}

const isBeginning = (
  spokenChoices: ReadonlyMap<number, SpokenChoice>,
  whole: readonly Spoken[],
  { holdToolCalls }: Scenario,
): boolean =>
  [...spokenChoices].every(([index, { content, reasoning, calls }]) => {
    const answer = whole[index];
    return (
      answer !== undefined &&
      answer.content.startsWith(content) &&
      answer.reasoning.startsWith(reasoning) &&
      (!holdToolCalls || calls.length === 0 || calls.length === answer.calls.length) &&
      calls.every((text, i) =>
        holdToolCalls ? text === answer.calls[i] : answer.calls[i]?.startsWith(text),
      )
    );
  });

function judgeWhole({ spokenChoices }: Segment, { calls }: World, scenario: Scenario): void {
  const { answer, signed } = scenario;
  expect(spokenChoices.size, 'every choice').toBe(answer.length);
  for (const { finishes, roles, reasoning, signatures } of spokenChoices.values()) {
    expect({ finishes, roles }, 'each with its end').toEqual({ finishes: 1, roles: 1 });
    if (signed && reasoning !== '') expect(signatures, 'signed thoughts are whole').toBe(1);
  }
  const text = (all: readonly Spoken[]) => all.map(({ content, calls }) => ({ content, calls }));
  const shown = text([...spokenChoices].sort(([a], [b]) => a - b).map(([, spoken]) => spoken));
  const given = calls.flatMap(({ whole }) => (whole ? [text(whole)] : []));
  const isOne = given.some((one) => JSON.stringify(one) === JSON.stringify(shown));
  if (!isOne) expect(shown, 'the whole of an answer that somebody gave').toEqual(given);
}

function judgeError({ spokenChoices }: Segment, data: string): void {
  const { error } = JSON.parse(data) as { error: { code: string | null; message: string } };
  expect(error.message).not.toBe('');
  const visible = [...spokenChoices.values()].some(
    ({ content, reasoning, calls, finishes }) =>
      content + reasoning !== '' || calls.length > 0 || finishes > 0,
  );
  if (visible) expect(error.code).toBe('upstream_failed_mid_stream');
  else expect(error.code).not.toBe('upstream_failed_mid_stream');
}

/** The attempts that the log tells of: numbered, counted, and of allowed kinds. */
function judgeLedger(world: World, scenario: Scenario, end: Ending): void {
  const entries = (world.readers[0]?.lines ?? []).map(({ text }) => decodeEntry(text));
  const attempts = entries.flatMap((entry) => (entry.kind === 'attempt' ? [entry.data] : []));
  expect(attempts.map(({ attempt }) => attempt)).toEqual(attempts.map((_, i) => i + 1));
  const last = entries.at(-1);
  if (end === 'done' && last?.kind === 'done') expect(last.data.attempts).toBe(attempts.length);
  const { tools, json, endsWithAssistant } = scenario.request;
  const isCompared = scenario.logprobs || scenario.answer.length > 1;
  const onlyReplay = json || endsWithAssistant || isCompared;
  expect(attempts.length, 'a bound on calls').toBeLessThanOrEqual(callsOf(entries));
  for (const { mode, provider } of attempts) {
    if (scenario.continuation === 'off') expect(['start', 'restart']).toContain(mode);
    if (scenario.continuation === 'strict') expect(mode).not.toBe('anchor');
    if (onlyReplay) expect(['start', 'restart', 'replay']).toContain(mode);
    if (scenario.reader === 'plain') expect(mode).not.toBe('restart');
    const prefill = scenario.targets[Number(provider.slice(1))];
    if (mode === 'continue')
      expect(tools ? prefill : Boolean(prefill)).toBe(tools ? 'with-tools' : true);
    if (mode === 'anchor' && tools) expect(scenario.continuation).toBe('always');
  }
}

/** As many as there were attempts that showed something, and ten in a row that did not. */
const callsOf = (entries: readonly Entry[]): number => {
  const seams = entries.filter(({ kind }) => kind === 'seam' || kind === 'reset');
  return (seams.length + 1) * maxCallsWithoutProgress;
};

/** How the attempts ended, by the log: each of them once, and no strategy twice at a target. */
function judgeEnds(world: World, { targets }: Scenario, end: Ending): void {
  const entries = (world.readers[0]?.lines ?? []).map(({ text }) => decodeEntry(text));
  const modes = new Map<number, string>();
  const ended: number[] = [];
  let tried: string[] = [];
  let isShown = false;
  for (const entry of entries) {
    if (entry.kind === 'chunk') isShown = true;
    if (entry.kind === 'seam' && entry.data.outcome === 'passed') {
      tried = [];
      modes.set(entry.data.attempt, 'spoke');
    }
    if (entry.kind === 'attempt') {
      const { attempt, mode, provider } = entry.data;
      modes.set(attempt, mode === 'start' || mode === 'restart' ? mode : `${provider} ${mode}`);
      if (mode === 'restart') tried = [];
    }
    if (entry.kind !== 'attempt_end') continue;
    const { attempt, outcome, firstTokenAt } = entry.data;
    ended.push(attempt);
    const mode = modes.get(attempt) ?? '';
    // A second attempt that was to begin the answer may be refused while the first one is shown.
    if (isShown && mode !== 'start') {
      expect(outcome, 'taken once, never wrong').not.toBe('upstream_rejected');
    }
    // One that another overtook ends behind that one's seam; one that was handed over has not failed.
    const isNoFault = ['superseded', 'handed_over', 'moved'].includes(outcome);
    const isTried = firstTokenAt !== undefined && !isNoFault;
    if (mode.includes(' ') && isTried) tried.push(mode);
    if (targets.length > 1)
      expect(tried, 'no strategy twice at one target').toEqual([...new Set(tried)]);
  }
  expect(ended, 'one ledger entry of each').toEqual([...new Set(ended)]);
  if (end !== 'cancelled') expect(ended.toSorted((a, b) => a - b)).toEqual([...modes.keys()]);
}

/** Who takes over knows whose words the readers have: an answer's first chunk says it too. */
function judgeSpeakers({ readers: [first], calls }: World): void {
  const history = emptyHistory();
  let isNew = true;
  for (const { text } of first?.lines ?? []) {
    applyLine(history, text);
    if (text.startsWith('z')) isNew = true;
    const number = isNew ? /^c\{"id":"chatcmpl-(\d+)"/.exec(text)?.[1] : undefined;
    if (number === undefined) continue;
    isNew = false;
    const { provider } = calls[Number(number)]?.target ?? {};
    expect(history.source?.provider, 'the speaker by the log').toBe(provider);
  }
}

/** Milliseconds of one attempt until the next one is asked: to its first token, and in silence behind it. */
const attemptMs = firstTokenTimeoutMs + idleTimeoutMs;
/** What appends that fail and responses that linger take in all. */
const slackMs = 2000;

/**
 * Where one target is well and answers as the others do, nobody waits for another one that is not: the
 * time is that of the attempts and the pauses between them, and never that of the whole request.
 */
function judgeTime(world: World, { healthy, targets, onSlow, upstreams }: Scenario): void {
  const lines = (world.readers[0]?.lines ?? []).map(({ text }) => decodeEntry(text));
  const ends = lines.flatMap((entry) => (entry.kind === 'attempt_end' ? [entry.data] : []));
  const last = lines.at(-1);
  if (!healthy || onSlow === 'wait' || !last || !isTerminal(last)) return;
  // What it says is no end of what the others said; or the test let it starve.
  if (upstreams.some(({ says }) => says !== 'same')) return;
  const well = world.calls.filter(({ target }) => target.provider === `p${targets.length - 1}`);
  const isStarved = ends.some(
    ({ attempt, outcome }) =>
      outcome in faultTable && well.some(({ number }) => number === attempt - 1),
  );
  // A verdict on the request itself is not routed around: whoever is still asked is waited for.
  const isJudged = ends.some(
    ({ outcome }) => outcome === 'upstream_rejected' || outcome === 'content_filtered',
  );
  if (isStarved || isJudged) return;
  const most = ends.length * (attemptMs + longestRetryAfterMs * 1.1) + world.waited + slackMs;
  expect(last.data.at - world.createdAt, 'the time it took').toBeLessThanOrEqual(most);
}
