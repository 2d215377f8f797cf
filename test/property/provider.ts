import type { AttemptMode } from '@millrace/shared/domain/entry';
import type { Anchors, Scenario, Spoken, Upstream } from './scenario.ts';

/* What a scripted upstream sends for one call, as bytes, and what a reader may be shown of it. */

export type Asked = {
  /** The number of the call, from 0: its chunks have an id of their own. */
  number: number;
  mode: AttemptMode;
  body: string;
  model: string;
};

export type Reply = {
  bytes: Buffer;
  /**
   * The answer that a reader has who was shown all of it, with what had been shown before where it
   * goes on from there. Undefined when nothing of it may be shown.
   */
  whole: Spoken[] | undefined;
};

type Message = { role: string; content: string };

export function replyTo(scenario: Scenario, upstream: Upstream, asked: Asked): Reply {
  const { mode, body } = asked;
  const own = ownAnswer(scenario, upstream);
  if (mode !== 'continue' && mode !== 'anchor') {
    return { bytes: toBytes(scenario, upstream, asked, own), whole: own };
  }
  const { messages } = JSON.parse(body) as { messages: Message[] };
  const shown = shownIn(messages, mode);
  const reply =
    mode === 'continue' ? goOn(upstream, own, shown) : repeat(upstream, own, shown, messages);
  const spoken = own[0] ?? silence;
  const { text, whole: content, reasoning = spoken.reasoning, refusal = '' } = reply;
  const mayCall = scenario.request.tools && content !== undefined && refusal === '';
  const calls = mayCall ? spoken.calls : [];
  const said = [{ reasoning, calls, content: text, refusal }];
  const whole = content === undefined ? undefined : [{ ...spoken, calls, content }];
  return { bytes: toBytes(scenario, upstream, asked, said), whole };
}

const silence: Spoken = { reasoning: '', content: '', calls: [] };

function ownAnswer({ answer, other }: Scenario, { says, turn }: Upstream): Spoken[] {
  return answer.map((spoken) => {
    const points = Array.from(spoken.content);
    const kept = points.slice(0, Math.floor(turn * points.length)).join('');
    switch (says) {
      case 'other':
        return { ...spoken, content: other };
      case 'drifts':
        return { ...spoken, content: `${kept}Ω and otherwise from here` };
      case 'short':
        return { ...spoken, content: kept };
      default:
        return spoken;
    }
  });
}

/** The text that the conversation ends with: what the readers have, as the target is told. */
export function shownIn(messages: readonly Message[], mode: AttemptMode): string {
  const turn = mode === 'anchor' ? messages.at(-2) : messages.at(-1);
  if (turn?.role !== 'assistant') throw new Error('no assistant turn to go on from');
  return turn.content;
}

/** What is left of the answer; of another one's beginning, some end to it. */
const restOf = (own: Spoken[], shown: string): string => {
  const content = own[0]?.content ?? '';
  return content.startsWith(shown) ? content.slice(shown.length) : ' and so on, to its end.';
};

/** What is said instead of a text or behind it; `whole`: as in `Reply`. */
type Said = { text: string; whole: string | undefined; reasoning?: string; refusal?: string };

/** A part of the text, and then a refusal: what readers may be shown of it is never whole. */
const declined = (before: string, rest: string, shown: string): Said => ({
  text: before + rest.slice(0, rest.length >> 1).replace(/[\uD800-\uDBFF]$/, ''),
  whole: rest === '' ? undefined : shown + rest,
  refusal: 'I cannot help with that.',
});

function goOn({ continues }: Upstream, own: Spoken[], shown: string): Said {
  const content = own[0]?.content ?? '';
  // An end without a word says nothing of whether the answer was whole, and is never shown.
  if (continues === 'silent') return { text: '', whole: undefined };
  if (continues === 'white') return { text: ' \n\n', whole: undefined };
  if (continues === 'thinks') return { text: '', whole: undefined, reasoning: 'Is there more?' };
  const text = continues === 'prose' ? 'Ω I cannot do this.' : restOf(own, shown);
  // A rest that says all of the beginning once more: nobody can tell it from an answer begun anew.
  const isTwice = shown.length >= 24 && text.startsWith(shown);
  if (continues === 'declines') return declined('', isTwice ? '' : text, shown);
  if (continues !== 'anew' && !isTwice) return { text, whole: shown + text };
  // A different answer from its beginning is, to anyone who did not know, the end of this one.
  return { text: content, whole: content.startsWith(shown) ? content : shown + content };
}

function repeat(
  { anchors }: Upstream,
  own: Spoken[],
  shown: string,
  messages: readonly Message[],
): Said {
  const prompt = messages.at(-1)?.content ?? '';
  const anchor = /word for word:\n\n([^]*)\n\nThen continue/.exec(prompt)?.[1];
  if (anchor === undefined || !shown.trimEnd().endsWith(anchor)) {
    throw new Error(`the anchor is not the end of what was shown: ${prompt}`);
  }
  const content = own[0]?.content ?? '';
  const gap = shown.slice(shown.trimEnd().length);
  const rest = restOf(own, shown);
  const after = gap + rest;
  if (anchors === 'anew' && content.startsWith(shown)) return { text: content, whole: content };
  if (anchors === 'anew' && !lettersOf(content).includes(lettersOf(anchor))) {
    return { text: content, whole: undefined };
  }
  // Another answer that has the anchor in it is, to anyone who did not know, what was asked for.
  if (anchors === 'none' || anchors === 'anew') {
    return { text: 'Ω I cannot do this.', whole: undefined };
  }
  if (anchors === 'stops') return { text: anchor, whole: undefined };
  if (anchors === 'declines') return declined(anchor + gap, rest, shown);
  if (anchors === 'drift') return { text: drifted(anchor) + after, whole: undefined };
  if (anchors === 'drifting') {
    const other = ' Ω and otherwise from here';
    return { text: anchor + gap + other, whole: shown + other };
  }
  return { text: styled(anchors, anchor) + after, whole: shown + rest };
}

/** Without what two writers do not agree on: white space and quotation marks. */
const lettersOf = (text: string): string =>
  text.replaceAll(/[\s"'`´\u2018-\u201f\u2032\u2033«»]/g, '');

function styled(style: Anchors, anchor: string): string {
  switch (style) {
    case 'preamble':
      return `Sure, here is the rest of the answer:\n\n${anchor}`;
    case 'quoted':
      return `"${anchor}"`;
    case 'curly':
      return anchor.replaceAll(/"([^"]*)"/gu, '“$1”').replaceAll("'", '’');
    case 'spaces':
      return anchor.replaceAll(/\s+/g, '\n ');
    default:
      return anchor;
  }
}

/** One letter in the middle comes back changed. */
function drifted(anchor: string): string {
  const points = Array.from(anchor);
  let at = Math.floor(points.length / 2);
  while (at < points.length - 1 && !/[\p{L}\p{N}]/u.test(points[at] ?? '')) at += 1;
  points[at] = points[at] === 'Ω' ? 'Ψ' : 'Ω';
  return points.join('');
}

type SpokenChoice = Spoken & { refusal?: string };

type Delta = {
  index: number;
  delta: Record<string, unknown>;
  text?: string;
  logprobs?: object;
  finish_reason: string | null;
};

function toBytes(
  scenario: Scenario,
  upstream: Upstream,
  asked: Asked,
  answer: SpokenChoice[],
): Buffer {
  const { dressed, usage } = upstream;
  const head = {
    id: `chatcmpl-${asked.number}`,
    object: 'chat.completion.chunk',
    created: 1_700_000_000 + asked.number,
    model: asked.model,
  };
  const count = {
    prompt_tokens: 9,
    completion_tokens: 8,
    total_tokens: 17,
  };
  const spokenChoices = answer.map((spoken, index) => deltasOf(scenario, upstream, spoken, index));
  const chunks = interleaved(spokenChoices).map((choice) => ({ ...head, choices: [choice] }));
  const hasUsage = (at: number) =>
    usage === 'in every chunk' || (usage === 'in the last' && at === chunks.length - 1);
  const texts = chunks.map((chunk, i) =>
    JSON.stringify(hasUsage(i) ? { ...chunk, usage: count } : chunk),
  );
  if (usage === 'with the end again') {
    const again = (chunks.at(-1)?.choices ?? []).map(({ index, finish_reason }) => ({
      index,
      delta: { role: 'assistant', content: '' },
      finish_reason,
    }));
    texts.push(JSON.stringify({ ...head, choices: again, usage: count }));
  }
  if (usage === 'apart') texts.push(JSON.stringify({ ...head, choices: [], usage: count }));
  texts.push('[DONE]');
  const end = dressed === 'crlf' ? '\r\n\r\n' : '\n\n';
  const events = texts.map((text, i) => {
    if (dressed === 'comments') return `: still here${end}data: ${text}${end}`;
    if (dressed === 'broken event' && i === 2)
      return `data: {"choices":[{"del${end}data: ${text}${end}`;
    return `data: ${text}${end}`;
  });
  return Buffer.from(events.join(''));
}

/** Of a choice: at the beginning of its answer, and behind its text. */
const citations = (index: number, at: string) => ({ annotations: [{ index, at }] });

function deltasOf(
  { logprobs, signed, along }: Scenario,
  { deltas, roleApart, finishApart, thinksAs }: Upstream,
  { reasoning, content, calls, refusal = '' }: SpokenChoice,
  index: number,
): Delta[] {
  const parts: Record<string, unknown>[] = [];
  const isCited = along === 'citations';
  if (isCited) parts.push(citations(index, 'begin'));
  const part = { type: 'reasoning.text', index: 0 };
  for (const piece of split(reasoning, deltas)) {
    const details = signed ? { reasoning_details: [{ ...part, text: piece }] } : {};
    parts.push({ [thinksAs]: piece, ...details });
  }
  if (signed && reasoning !== '') {
    parts.push({ reasoning_details: [{ ...part, signature: 'signed' }] });
  }
  for (const piece of split(content, deltas)) {
    parts.push({ content: piece, ...(along === 'token ids' && { token_id: piece.length }) });
  }
  if (isCited) parts.push(citations(index, 'end'));
  for (const piece of split(refusal, deltas)) parts.push({ refusal: piece });
  for (const [at, text] of calls.entries()) {
    const call = { index: at, id: `call-${index}-${at}`, type: 'function' };
    parts.push({ tool_calls: [{ ...call, function: { name: 'weigh', arguments: '' } }] });
    for (const piece of split(text, deltas)) {
      parts.push({ tool_calls: [{ index: at, function: { arguments: piece } }] });
    }
  }
  const role = { role: 'assistant' };
  if (roleApart || parts.length === 0) parts.unshift({ ...role, content: '' });
  else parts[0] = { ...role, ...parts[0] };
  const reason = calls.length > 0 ? 'tool_calls' : 'stop';
  if (finishApart) parts.push({});
  return parts.map((delta, i) => ({
    index,
    delta,
    ...(along === 'token ids' && 'content' in delta && { text: String(delta['content']) }),
    ...(logprobs && { logprobs: { content: tokensOf(delta['content']), refusal: null } }),
    finish_reason: i === parts.length - 1 ? reason : null,
  }));
}

/** A token for each code point; null where there is none. */
function tokensOf(content: unknown): object[] | null {
  if (typeof content !== 'string' || content === '') return null;
  return Array.from(content).map((token) => ({ token, logprob: -1 }));
}

/** By code points: no provider splits one. */
function split(text: string, lengths: readonly number[]): string[] {
  const points = Array.from(text);
  const pieces: string[] = [];
  for (let at = 0, i = 0; at < points.length; i++) {
    const length = lengths[i % lengths.length] ?? 1;
    pieces.push(points.slice(at, at + length).join(''));
    at += length;
  }
  return pieces;
}

/** A chunk of each choice in turn. */
function interleaved(spokenChoices: Delta[][]): Delta[] {
  const most = Math.max(...spokenChoices.map(({ length }) => length));
  return Array.from({ length: most }, (_, i) =>
    spokenChoices.flatMap((spoken) => spoken[i] ?? []),
  ).flat();
}
