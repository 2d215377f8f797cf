import type { AnswerEvent, Call, Identity, Usage } from '../steps.ts';
import { callPart, candidateJson, finishReason, responseJson, textPart } from './json.ts';
import type { FunctionCall } from './json.ts';

interface Candidate {
  thoughts: string;
  text: string;
  calls: FunctionCall[];
  reason: string | undefined;
}

/** The response to `generateContent`, from the events of a stream. */
export function wholeResponse(
  events: readonly AnswerEvent[],
  call: Call,
  identity: Identity,
): string {
  const all = new Map<number, Candidate>();
  let usage: Usage | undefined;
  let extra: Readonly<Record<string, string>> | undefined;
  for (const event of events) {
    if (event.type === 'done') continue;
    if (event.type === 'usage') {
      ({ usage } = event);
      continue;
    }
    if (event.type === 'start') ({ extra } = event);
    const candidate = all.get(event.choice) ?? {
      thoughts: '',
      text: '',
      calls: [],
      reason: undefined,
    };
    all.set(event.choice, candidate);
    gather(candidate, event);
  }
  const candidates = [...all].map(([index, { thoughts, text, calls, reason }]) => {
    const parts = [
      ...(thoughts === '' ? [] : [textPart(thoughts, { thought: true })]),
      ...(text === '' ? [] : [textPart(text, { vendor: call.options.vendor === 1 })]),
      ...calls.map((one) => callPart(one, identity)),
    ];
    return candidateJson(index, parts, reason);
  });
  return responseJson(call, identity, { candidates, usage, extra });
}

function gather(
  candidate: Candidate,
  event: Exclude<AnswerEvent, { type: 'usage' | 'done' }>,
): void {
  switch (event.type) {
    case 'text':
    case 'refusal':
      candidate.text += event.text;
      break;
    case 'reasoning':
      candidate.thoughts += event.text;
      break;
    case 'tool-call':
      candidate.calls.push({ call: event.call, name: event.name, args: '' });
      break;
    case 'tool-arguments': {
      const last = candidate.calls.at(-1);
      if (last) last.args += event.text;
      break;
    }
    case 'finish':
      candidate.reason = finishReason(event.reason);
      break;
    case 'start':
      break;
  }
}
