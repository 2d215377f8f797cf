import type { OpenAiError } from '@millrace/shared/domain/entry';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import {
  choiceIndex,
  deltaOf,
  finishReasons,
  plainContent,
  usageOf,
} from '../../openai-chat/chunk.ts';
import { contentIn, templateOf } from '../../openai-chat/chunk-template.ts';
import type { ChunkTemplate } from '../../openai-chat/chunk-template.ts';
import { nativeMember } from '../../client-port.ts';
import type { AnswerEncoder, AnswerFacts, FormatEvent } from '../../client-port.ts';
import { errorBody } from './error.ts';
import { fromInnerUsage, messageId, stopReasonOf } from './usage.ts';
import { cleanCallId, reasoningOf, textOf } from './whole-encoder.ts';

/** Writes the events of a message. */
export const encodeStream = (answer: AnswerFacts): AnswerEncoder => new MessageEncoder(answer);

type OpenBlock = { type: 'text' | 'thinking' | 'tool_use' | 'native'; index: number };

/** A tool call whose block waits until that of the call before it has ended: blocks do not interleave. */
type Call = { id: unknown; name: unknown; json: string };

const event = (data: JsonObject): FormatEvent => ({
  // A provider's own event may have any type.
  name: String(data['type']).replaceAll(/[^\w.-]/g, '_'),
  data: JSON.stringify(data),
});

class MessageEncoder implements AnswerEncoder {
  private readonly answer: AnswerFacts;
  private events: FormatEvent[] = [];
  private isStarted = false;
  private open: OpenBlock | undefined;
  /** The number of blocks so far. */
  private blocks = 0;
  /** The call whose block is open, by its index in the inner form. */
  private openCall: number | undefined;
  private readonly waitingCalls = new Map<number, Call>();
  /** Texts that came while a call was open. */
  private textsAfterCalls: ['text' | 'thinking', string][] = [];
  private hasCalls = false;
  private finishReason: string | undefined;
  /** The provider's own `message_delta`. */
  private nativeEnd: JsonObject | undefined;
  private latestUsage: JsonObject = fromInnerUsage({});
  /** The text of chunks that only add content. */
  private template: ChunkTemplate | undefined;

  constructor(answer: AnswerFacts) {
    this.answer = answer;
  }

  chunk(text: string): readonly FormatEvent[] {
    const content = this.template && contentIn(this.template, text);
    if (content !== undefined && this.open?.type === 'text') {
      // The content is escaped already.
      const data = `{"type":"content_block_delta","index":${this.open.index},"delta":{"type":"text_delta","text":"${content}"}}`;
      return [{ name: 'content_block_delta', data }];
    }
    const chunk = JSON.parse(text) as unknown;
    if (!isJsonObject(chunk)) return [];
    const native = chunk[nativeMember];
    if (isJsonObject(native)) this.passNative(native);
    else this.addChunk(chunk);
    if (!this.template && native === undefined && plainContent(chunk) !== undefined) {
      this.template = templateOf(text);
    }
    return this.taken();
  }

  usage(text: string): readonly FormatEvent[] {
    this.latestUsage = fromInnerUsage(usageOf(JSON.parse(text)) ?? {});
    return [];
  }

  end(): readonly FormatEvent[] {
    this.start({});
    this.closeBlocks();
    const native = this.nativeEnd;
    const delta = native && isJsonObject(native['delta']) ? native['delta'] : undefined;
    this.push({
      ...native,
      type: 'message_delta',
      delta: delta ?? {
        stop_reason: this.stopReason(),
        stop_sequence: null,
      },
      usage: { ...this.latestUsage, ...(isJsonObject(native?.['usage']) ? native['usage'] : {}) },
    });
    this.push({ type: 'message_stop' });
    return this.taken();
  }

  error(error: OpenAiError, status: number): readonly FormatEvent[] {
    this.push(errorBody(error, status));
    return this.taken();
  }

  /**
   * Claude Code's watchdog does not count `ping`, but an empty delta of the open block. The worker fails over from a
   * provider that is silent for longer than the model's `idleTimeout`, so none of them keeps a dead answer alive for longer.
   */
  keepAlive(): FormatEvent | undefined {
    const { open, isStarted } = this;
    const delta = open && emptyDeltas[open.type];
    if (delta) return event({ type: 'content_block_delta', index: open.index, delta });
    return isStarted ? event({ type: 'ping' }) : undefined;
  }

  private taken(): readonly FormatEvent[] {
    const { events } = this;
    this.events = [];
    return events;
  }

  private push(data: JsonObject): void {
    this.events.push(event(data));
  }

  /** Begins the message; `chunk`: the first one. */
  private start({ model }: JsonObject): void {
    if (this.isStarted) return;
    this.isStarted = true;
    const { answer } = this;
    const message = {
      id: messageId(answer.id),
      type: 'message',
      role: 'assistant',
      model: typeof model === 'string' && model !== '' ? model : answer.model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: fromInnerUsage({}),
    };
    this.push({ type: 'message_start', message });
  }

  /** Passes an event of the provider on, with the number that its block has in this message. */
  private passNative(native: JsonObject): void {
    switch (native['type']) {
      case 'message_start':
        if (!this.isStarted) {
          this.isStarted = true;
          this.push(native);
        }
        return;
      case 'content_block_start':
        this.start({});
        this.closeBlocks();
        this.open = { type: blockTypeOf(native['content_block']), index: this.blocks };
        this.blocks += 1;
        this.push({ ...native, index: this.open.index });
        return;
      case 'content_block_delta':
        if (this.open) this.push({ ...native, index: this.open.index });
        return;
      case 'content_block_stop':
        // Written with the next event: until then, keep-alives have an open block.
        return;
      case 'message_delta':
        this.nativeEnd = { ...this.nativeEnd, ...native };
        return;
      case 'message_stop':
        return;
      default:
        this.push(native);
    }
  }

  private addChunk(chunk: JsonObject): void {
    this.start(chunk);
    for (const [place, choice] of itemsOf(chunk['choices']).entries()) {
      const delta = deltaOf(choice);
      // A message has no counterpart to further choices.
      if (!isJsonObject(choice) || !delta || choiceIndex(choice, place) !== 0) continue;
      this.addText('thinking', reasoningOf(delta));
      this.addText('text', textOf(delta['content']));
      this.addText('text', typeof delta['refusal'] === 'string' ? delta['refusal'] : '');
      for (const [at, call] of itemsOf(delta['tool_calls']).entries()) {
        if (isJsonObject(call)) this.addCall(call, at);
      }
      // The predecessor of tool calls has no id.
      const { function_call: only } = delta;
      if (isJsonObject(only)) {
        this.addCall({ id: `call_${this.answer.id}`, function: only }, 0);
      }
    }
    for (const { index, reason } of finishReasons(chunk)) {
      if (index === 0) this.finishReason = reason;
    }
  }

  private addText(type: 'text' | 'thinking', text: string): void {
    if (text === '') return;
    // Blocks do not interleave, and the rest of the call may follow.
    if (this.openCall !== undefined) {
      this.textsAfterCalls.push([type, text]);
      return;
    }
    const { open } = this;
    if (open?.type !== type) {
      const block = type === 'text' ? { type, text: '' } : { type, thinking: '', signature: '' };
      this.openBlock(type, block);
    }
    const delta =
      type === 'text' ? { type: 'text_delta', text } : { type: 'thinking_delta', thinking: text };
    this.addDelta(delta);
  }

  private addCall(call: JsonObject, place: number): void {
    const index = typeof call['index'] === 'number' ? call['index'] : place;
    const called = isJsonObject(call['function']) ? call['function'] : {};
    const json = typeof called['arguments'] === 'string' ? called['arguments'] : '';
    const isOfNative = this.open?.type === 'tool_use' && this.openCall === undefined;
    if (this.openCall === index || (isOfNative && called['name'] === undefined)) {
      this.addArguments(json);
      return;
    }
    const waiting = this.waitingCalls.get(index) ?? { id: undefined, name: undefined, json: '' };
    this.waitingCalls.set(index, {
      id: waiting.id ?? call['id'],
      name: waiting.name ?? called['name'],
      json: waiting.json + json,
    });
    if (this.openCall === undefined) this.openNextCall((one) => typeof one.name === 'string');
  }

  /** Opens the first call that waits, if it `mayOpen`. */
  private openNextCall(mayOpen: (call: Call) => boolean): void {
    const [next] = this.waitingCalls;
    if (!next || !mayOpen(next[1])) return;
    const [index, { id, name, json }] = next;
    this.waitingCalls.delete(index);
    this.openBlock('tool_use', {
      type: 'tool_use',
      id: cleanCallId(id, this.blocks),
      name: typeof name === 'string' ? name : '',
      input: {},
    });
    this.openCall = index;
    this.hasCalls = true;
    this.addArguments(json);
  }

  private addArguments(json: string): void {
    if (json !== '') this.addDelta({ type: 'input_json_delta', partial_json: json });
  }

  private openBlock(type: OpenBlock['type'], block: JsonObject): void {
    if (type === 'tool_use') this.closeOpen();
    else this.closeBlocks();
    this.open = { type, index: this.blocks };
    this.blocks += 1;
    this.push({ type: 'content_block_start', index: this.open.index, content_block: block });
  }

  private addDelta(delta: JsonObject): void {
    this.push({ type: 'content_block_delta', index: this.open?.index ?? 0, delta });
  }

  /** Ends the open block, and writes the calls that waited for it. */
  private closeBlocks(): void {
    this.closeOpen();
    while (this.waitingCalls.size > 0) {
      this.openNextCall(() => true);
      this.closeOpen();
    }
    const texts = this.textsAfterCalls;
    this.textsAfterCalls = [];
    for (const [type, text] of texts) this.addText(type, text);
    this.closeOpen();
  }

  /** Clients of tools go on if the reason says so; some providers say `stop` beside calls. */
  private stopReason(): string {
    const reason = stopReasonOf(this.finishReason ?? 'stop');
    return reason === 'end_turn' && this.hasCalls ? 'tool_use' : reason;
  }

  private closeOpen(): void {
    if (this.open) this.push({ type: 'content_block_stop', index: this.open.index });
    this.open = undefined;
    this.openCall = undefined;
  }
}

const emptyDeltas: Readonly<Record<OpenBlock['type'], JsonObject | undefined>> = {
  text: { type: 'text_delta', text: '' },
  thinking: { type: 'thinking_delta', thinking: '' },
  tool_use: { type: 'input_json_delta', partial_json: '' },
  native: undefined,
};

function blockTypeOf(block: unknown): OpenBlock['type'] {
  const type = isJsonObject(block) ? block['type'] : undefined;
  return type === 'text' || type === 'thinking' || type === 'tool_use' ? type : 'native';
}
