import { chatHead, chatUsage, logprobOf, toolCallId } from './json.ts';
import type { AnswerEvent, Call, Identity } from '../steps.ts';
import { VENDOR_CHOICE } from '../vendor.ts';

interface ToolCall {
  readonly call: number;
  readonly name: string;
  arguments: string;
}

interface Choice {
  text: string | null;
  refusal: string | null;
  reasoning: string;
  tools: ToolCall[];
  /** The pieces of the text. */
  tokens: string[];
  finish: string;
}

/** The `chat.completion` of a non-streaming request, from the events of a stream. */
export function wholeAnswer(
  events: readonly AnswerEvent[],
  call: Call,
  identity: Identity,
): string {
  const choices = new Map<number, Choice>();
  let usage = '';
  let extra = '';
  for (const event of events) {
    if (event.type === 'usage') {
      if (call.options.usage !== 'never') {
        usage = `,"usage":${chatUsage(event.usage, call.asked.promptTokens)}`;
      }
    } else if (event.type !== 'done') {
      if (event.type === 'start' && event.extra !== undefined) {
        extra = `,"x_echo_headers":${JSON.stringify(event.extra)}`;
      }
      gather(choices, event);
    }
  }
  const vendor = call.options.vendor === 1;
  const logprobs = call.asked.logprobs || call.options.logprobs === 1;
  const head = chatHead('chat.completion', JSON.stringify(call.asked.model), identity, vendor);
  const all = [...choices].map(([index, choice]) =>
    choiceJson(index, choice, { vendor, logprobs, identity }),
  );
  return `{${head},"choices":[${all.join(',')}]${usage}${extra}}`;
}

function gather(
  choices: Map<number, Choice>,
  event: Exclude<AnswerEvent, { type: 'usage' | 'done' }>,
): void {
  const choice = choices.get(event.choice) ?? empty();
  choices.set(event.choice, choice);
  switch (event.type) {
    case 'text':
      choice.text = (choice.text ?? '') + event.text;
      choice.tokens.push(event.text);
      break;
    case 'refusal':
      choice.refusal = (choice.refusal ?? '') + event.text;
      break;
    case 'reasoning':
      choice.reasoning += event.text;
      break;
    case 'tool-call':
      choice.tools.push({ call: event.call, name: event.name, arguments: '' });
      break;
    case 'tool-arguments': {
      const tool = choice.tools.find(({ call }) => call === event.call);
      if (tool !== undefined) tool.arguments += event.text;
      break;
    }
    case 'finish':
      choice.finish = `"${event.reason}"`;
      break;
    case 'start':
      if (event.say !== 'tools' && event.say !== 'refusal') choice.text = '';
      break;
  }
}

function empty(): Choice {
  return { text: null, refusal: null, reasoning: '', tools: [], tokens: [], finish: 'null' };
}

function choiceJson(
  index: number,
  choice: Choice,
  how: { vendor: boolean; logprobs: boolean; identity: Identity },
): string {
  const content = `"content":${JSON.stringify(choice.text)},"refusal":${JSON.stringify(choice.refusal)}`;
  const reasoning =
    choice.reasoning === '' ? '' : `,"reasoning_content":${JSON.stringify(choice.reasoning)}`;
  const tools = choice.tools.map(
    (tool) =>
      `{"id":${toolCallId(tool.call, how.identity)},"type":"function","function":{"name":${JSON.stringify(tool.name)},"arguments":${JSON.stringify(tool.arguments)}}}`,
  );
  const calls = tools.length === 0 ? '' : `,"tool_calls":[${tools.join(',')}]`;
  const message = `{"role":"assistant",${content},"annotations":[]${reasoning}${calls}${how.vendor ? ', "x_message": 9007199254740995 ' : ''}}`;
  const logprobs =
    how.logprobs && choice.tokens.length > 0
      ? `{"content":[${choice.tokens.map(logprobOf).join(',')}],"refusal":null}`
      : 'null';
  const note = how.vendor ? VENDOR_CHOICE : '';
  return `{"index":${index},"message":${message},"logprobs":${logprobs},"finish_reason":${choice.finish}${note}}`;
}
