import type { AnswerEvent, Call, Identity } from '../steps.ts';
import type { ContentEvent } from './json.ts';
import { blockOf, messageJson, SIGNATURE, stopReason, toolUseId } from './json.ts';

interface Block {
  readonly name: string;
  readonly first: ContentEvent;
  text: string;
}

/** The `message` of a non-streaming request, from the events of a stream. */
export function wholeMessage(
  events: readonly AnswerEvent[],
  call: Call,
  identity: Identity,
): string {
  const blocks: Block[] = [];
  let extra: object | undefined;
  let stop: string | null = null;
  let output = 0;
  for (const event of events) {
    switch (event.type) {
      case 'start':
        ({ extra } = event);
        break;
      case 'finish':
        stop = stopReason(event.reason, blocks.some(isRefusal));
        break;
      case 'usage':
        output = event.usage.completion;
        break;
      case 'done':
        break;
      default:
        gather(blocks, event);
    }
  }
  const content = blocks.map((block) => blockJson(block, identity)).join(',');
  return messageJson(call, identity, { content, stop, output, extra });
}

function gather(blocks: Block[], event: ContentEvent): void {
  const name = blockOf(event);
  let block = blocks.at(-1);
  if (block?.name !== name) {
    block = { name, first: event, text: '' };
    blocks.push(block);
  }
  if (event.type !== 'tool-call') block.text += event.text;
}

function isRefusal({ first }: Block): boolean {
  return first.type === 'refusal';
}

function blockJson({ first, text }: Block, identity: Identity): string {
  switch (first.type) {
    case 'text':
    case 'refusal':
      return `{"type":"text","text":${JSON.stringify(text)}}`;
    case 'reasoning':
      return `{"type":"thinking","thinking":${JSON.stringify(text)},"signature":"${SIGNATURE}"}`;
    case 'tool-call':
      return `{"type":"tool_use","id":${toolUseId(first.call, identity)},"name":${JSON.stringify(first.name)},"input":${text || '{}'}}`;
    default:
      throw new Error('the arguments of a tool call came before its name');
  }
}
