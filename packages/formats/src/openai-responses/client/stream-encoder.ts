import type { OpenAiError } from '@millrace/shared/domain/entry';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import {
  choiceIndex,
  deltaOf,
  finishReasons,
  plainContent,
  reasoningTextFields,
  usageOf,
} from '../../openai-chat/chunk.ts';
import { contentIn, templateOf } from '../../openai-chat/chunk-template.ts';
import type { ChunkTemplate } from '../../openai-chat/chunk-template.ts';
import { nativeMember } from '../../client-port.ts';
import type { AnswerEncoder, AnswerFacts, FormatEvent } from '../../client-port.ts';
import { splitName } from '../namespace.ts';
import { reasoningFormat } from '../reasoning.ts';
import { NativeOutput } from './native-output.ts';
import { annotationsIn, escaped, itemOf, partOf, summaryOf, unescaped } from './output.ts';
import type { Item, Part } from './output.ts';
import { endOf, fromInnerUsage, namespacesOf, responseOf } from './response.ts';
import type { ResponseState } from './response.ts';

/**
 * Writes the events of a response. Their numbers continue over all attempts, because they depend on nothing but the lines of
 * the log.
 */
export class ResponseEncoder implements AnswerEncoder {
  private readonly answer: AnswerFacts;
  private events: FormatEvent[] = [];
  /** The number of the next event. */
  private sequence = 0;
  private isStarted = false;
  private model: unknown;
  private readonly items: Item[] = [];
  /** The items of tool calls, by their index in the inner form. */
  private readonly calls = new Map<number, Item>();
  /** Encrypted reasoning that waits for a call. */
  private readonly unplaced: { data: string; id: string | undefined }[] = [];
  private finishReason: string | undefined;
  private latestUsage: JsonObject | undefined;
  private readonly native: NativeOutput;
  /** The text of chunks that only add content. */
  private template: ChunkTemplate | undefined;

  constructor(answer: AnswerFacts) {
    this.answer = answer;
    this.native = new NativeOutput({
      answer,
      add: (id, members) => {
        const item = { ...this.newItem('item', id), ...members } as Item;
        this.items.push(item);
        return item;
      },
      push: (type, members) => this.push(type, members),
    });
  }

  chunk(text: string): readonly FormatEvent[] {
    const content = this.template && contentIn(this.template, text);
    const open = content === undefined ? undefined : this.openPart();
    if (content !== undefined && open?.part.type === 'output_text') {
      // A template's content is as in JSON.
      this.addDelta(open.item, open.part, content, []);
      return this.taken();
    }
    const chunk = JSON.parse(text) as unknown;
    if (!isJsonObject(chunk)) return [];
    const native = chunk[nativeMember];
    if (isJsonObject(native)) this.passNative(native, chunk);
    else this.addChunk(chunk);
    if (native === undefined && plainContent(chunk) !== undefined)
      this.template ??= templateOf(text);
    return this.taken();
  }

  usage(text: string): readonly FormatEvent[] {
    this.latestUsage = fromInnerUsage(usageOf(JSON.parse(text)));
    return [];
  }

  end(completedAt?: number): readonly FormatEvent[] {
    this.start();
    const end = this.finish(completedAt);
    if (this.native.end) {
      const { type, response, ...others } = this.native.end;
      const output = this.native.outputOf(response, itemsOf(end['output']));
      const whole = { ...this.native.response(response), output };
      this.push(String(type), { ...others, response: whole });
    } else this.push(`response.${String(end['status'])}`, { response: end });
    return this.taken();
  }

  error(error: OpenAiError): readonly FormatEvent[] {
    const { code, message, param, type } = error;
    this.push('error', { code, message, param, error: { type, code, message, param } });
    if (this.isStarted) {
      const response = this.response({ status: 'failed', error, output: this.output() });
      this.push('response.failed', { response });
    }
    return this.taken();
  }

  /** Adds a chunk, or a complete answer in the inner form. */
  addChunk(chunk: JsonObject): void {
    this.model ??= chunk['model'];
    this.start();
    for (const [place, choice] of itemsOf(chunk['choices']).entries()) {
      const delta = deltaOf(choice);
      // A response has no counterpart to further choices.
      if (!isJsonObject(choice) || !delta || choiceIndex(choice, place) !== 0) continue;
      this.addReasoning(delta);
      this.addTexts(delta, choice['logprobs']);
      this.annotate(annotationsIn(delta['annotations']));
      for (const [at, call] of itemsOf(delta['tool_calls']).entries()) {
        if (isJsonObject(call)) this.addCall(call, at);
      }
    }
    for (const { index, reason } of finishReasons(chunk)) {
      if (index === 0) this.finishReason = reason;
    }
    this.latestUsage = fromInnerUsage(usageOf(chunk)) ?? this.latestUsage;
  }

  /** Ends all items, in their order, and returns the response. */
  finish(completedAt: number | undefined): JsonObject {
    for (const item of this.items) this.close(item);
    const end = endOf(this.finishReason);
    return this.response({ ...end, completedAt, output: this.output(), usage: this.latestUsage });
  }

  private output(): JsonObject[] {
    return this.items.map((item) => itemOf(item, true));
  }

  private response(state: ResponseState): JsonObject {
    return responseOf(this.answer, { model: this.model, ...state });
  }

  private taken(): readonly FormatEvent[] {
    const { events } = this;
    this.events = [];
    return events;
  }

  private push(type: string, members: JsonObject): void {
    const data = JSON.stringify({ type, sequence_number: this.sequence, ...members });
    this.sequence += 1;
    // A provider's own event may have any type.
    this.events.push({ name: type.replaceAll(/[^\w.-]/g, '_'), data });
  }

  /** `chunk`: the chunk with this event. */
  private passNative(native: JsonObject, chunk: JsonObject): void {
    const { type, ...event } = native;
    const name = String(type);
    for (const { index, reason } of finishReasons(chunk)) {
      if (index === 0) this.finishReason = reason;
    }
    if (name === 'response.completed' || name === 'response.incomplete') this.native.end = native;
    else if (states.has(name)) {
      if (this.isStarted && !this.native.hasBegun) return;
      this.isStarted = true;
      this.native.takeState(name, event);
      this.model ??= this.native.model;
    } else {
      this.start();
      this.native.take(name, event);
    }
  }

  private start(): void {
    if (this.isStarted) return;
    this.isStarted = true;
    const response = this.response({ status: 'in_progress' });
    this.push('response.created', { response });
    this.push('response.in_progress', { response });
  }

  private addReasoning(delta: JsonObject): void {
    const name = reasoningTextFields.find((field) => isText(delta[field]));
    if (name !== undefined) this.addThought(String(delta[name]));
    for (const detail of itemsOf(delta['reasoning_details'])) {
      if (isJsonObject(detail) && detail['format'] === reasoningFormat) this.addEncrypted(detail);
    }
  }

  private addThought(text: string): void {
    const last = this.items.at(-1);
    // An item of the provider may have other texts than a summary.
    const isOpen = last?.kind === 'reasoning' && !last.isDone && !last.native;
    const item = isOpen ? last : this.openReasoning();
    if (item.json === '') {
      const part = { type: 'summary_text', text: '' };
      this.push('response.reasoning_summary_part.added', {
        ...placeOf(item),
        summary_index: 0,
        part,
      });
    }
    item.json += escaped(text);
    const more = { summary_index: 0, delta: text };
    this.push('response.reasoning_summary_text.delta', { ...placeOf(item), ...more });
  }

  private openReasoning(id?: string): Item & { kind: 'reasoning' } {
    return this.open<Item & { kind: 'reasoning' }>({
      ...this.newItem('rs', id),
      kind: 'reasoning',
      json: '',
      encrypted: '',
    });
  }

  /**
   * Encrypted reasoning comes at the end of an answer. It belongs to the reasoning item that waits for it, else it is an item of
   * its own before the calls. Behind a message without calls there is no place for it: a provider would not accept it there.
   */
  private addEncrypted({ data, id }: JsonObject): void {
    if (typeof data !== 'string' || data === '') return;
    const own = typeof id === 'string' && id !== '' ? id : undefined;
    const waiting = this.items.find(
      (item) => item.kind === 'reasoning' && item.encrypted === '' && !item.isDone,
    );
    if (waiting?.kind === 'reasoning') waiting.encrypted = data;
    else if (this.items.length === 0) this.openReasoning(own).encrypted = data;
    else this.unplaced.push({ data, id: own });
  }

  private addTexts(delta: JsonObject, logprobs: unknown): void {
    const tokens = isJsonObject(logprobs) ? itemsOf(logprobs['content']) : [];
    const content = textIn(delta['content']);
    if (content !== '') this.addText('output_text', content, tokens);
    const { refusal } = delta;
    if (isText(refusal)) this.addText('refusal', String(refusal), []);
  }

  private addText(type: Part['type'], text: string, logprobs: readonly unknown[]): void {
    const open = this.openPart();
    const { item, part } = open?.part.type === type ? open : this.beginPart(type);
    this.addDelta(item, part, escaped(text), logprobs);
  }

  private addDelta(item: Item, part: Part, json: string, logprobs: readonly unknown[]): void {
    part.json += json;
    part.logprobs.push(...logprobs);
    const isText = part.type === 'output_text';
    const type = isText ? 'response.output_text.delta' : 'response.refusal.delta';
    const index = item.kind === 'message' ? item.parts.indexOf(part) : 0;
    const tail = isText ? `,"logprobs":${JSON.stringify(logprobs)}` : '';
    const data = `{"type":"${type}","sequence_number":${this.sequence},"item_id":"${item.id}","output_index":${item.index},"content_index":${index},"delta":"${json}"${tail}}`;
    this.sequence += 1;
    this.events.push({ name: type, data });
  }

  /** The part that takes further text: the last one of a message that is the last item. */
  private openPart() {
    const item = this.items.at(-1);
    const part = item?.kind === 'message' && !item.isDone ? item.parts.at(-1) : undefined;
    return item && part && part.ended === undefined ? { item, part } : undefined;
  }

  private beginPart(type: Part['type']) {
    const last = this.items.at(-1);
    const item =
      last?.kind === 'message' && !last.isDone
        ? last
        : this.open<Item & { kind: 'message' }>({
            ...this.newItem('msg'),
            kind: 'message',
            parts: [],
          });
    const part: Part = { type, json: '', annotations: [], logprobs: [] };
    item.parts.push(part);
    const place = { ...placeOf(item), content_index: item.parts.length - 1 };
    this.push('response.content_part.added', { ...place, part: partOf(part, false) });
    return { item, part };
  }

  private annotate(annotations: readonly JsonObject[]): void {
    if (annotations.length === 0) return;
    const item = this.items.findLast(({ kind }) => kind === 'message');
    const part = item?.kind === 'message' ? item.parts.at(-1) : undefined;
    if (item?.kind !== 'message' || !part) return;
    for (const annotation of annotations) {
      const place = { ...placeOf(item), content_index: item.parts.length - 1 };
      const annotation_index = part.annotations.push(annotation) - 1;
      // Behind its end, only the complete response has it.
      if (item.isSaid) continue;
      this.push('response.output_text.annotation.added', {
        ...place,
        annotation_index,
        annotation,
      });
    }
  }

  private addCall(call: JsonObject, place: number): void {
    const index = typeof call['index'] === 'number' ? call['index'] : place;
    const { function: called, custom } = call;
    const isCustom = isJsonObject(custom);
    const { name, arguments: json, input } = isCustom ? custom : (Object(called) as JsonObject);
    const item = this.calls.get(index) ?? this.beginCall(index, call['id'], name, isCustom);
    const text = isCustom ? input : json;
    if (!isText(text) || !('callId' in item)) return;
    item.json += escaped(String(text));
    const type = isCustom ? 'custom_tool_call_input' : 'function_call_arguments';
    this.push(`response.${type}.delta`, { ...placeOf(item), delta: text });
  }

  private beginCall(index: number, callId: unknown, name: unknown, isCustom: boolean): Item {
    for (const { data, id } of this.unplaced.splice(0)) this.openReasoning(id).encrypted = data;
    const kind = isCustom ? 'custom_tool_call' : 'function_call';
    const called = splitName(name, namespacesOf(this.answer));
    const item: Item = { ...this.newItem(isCustom ? 'ctc' : 'fc'), kind, callId, called, json: '' };
    this.calls.set(index, this.open(item));
    return item;
  }

  private newItem(prefix: string, id?: string) {
    const index = this.items.length;
    const own = `${prefix}_${this.answer.id.replace(/^req_/, '')}_${index}`;
    return { index, id: id ?? own, isDone: false, isSaid: false };
  }

  private open<Opened extends Item>(item: Opened): Opened {
    const last = this.items.at(-1);
    // Only texts end here: encrypted reasoning comes later, and clients build their history in the order in which items end.
    if (last) this.endTexts(last);
    this.items.push(item);
    this.push('response.output_item.added', {
      output_index: item.index,
      item: itemOf(item, false),
    });
    return item;
  }

  private close(item: Item): void {
    if (item.isDone) return;
    item.isDone = true;
    this.endTexts(item);
    if (item.kind === 'function_call') {
      const { called, json } = item;
      const done = { ...placeOf(item), name: called.name, arguments: unescaped(json) };
      this.push('response.function_call_arguments.done', done);
    } else if (item.kind === 'custom_tool_call') {
      const done = { ...placeOf(item), input: unescaped(item.json) };
      this.push('response.custom_tool_call_input.done', done);
    }
    this.push('response.output_item.done', { output_index: item.index, item: itemOf(item, true) });
  }

  /** Ends the parts of a message, or the summary of reasoning. */
  private endTexts(item: Item): void {
    if (item.isSaid) return;
    if (item.native && item.kind !== 'message') {
      this.native.close(item);
      item.isSaid = true;
      return;
    }
    const place = placeOf(item);
    if (item.kind === 'message') {
      for (const [index, part] of item.parts.entries()) {
        if (part.ended === 'part') continue;
        const at = { ...place, content_index: index };
        const text = unescaped(part.json);
        if (part.ended === 'text') {
          this.push('response.content_part.done', { ...at, part: partOf(part, true) });
          continue;
        }
        if (part.type === 'refusal') this.push('response.refusal.done', { ...at, refusal: text });
        else this.push('response.output_text.done', { ...at, text, logprobs: part.logprobs });
        this.push('response.content_part.done', { ...at, part: partOf(part, true) });
      }
    } else if (item.kind === 'reasoning' && item.json !== '') {
      const at = { ...place, summary_index: 0 };
      const text = unescaped(item.json);
      this.push('response.reasoning_summary_text.done', { ...at, text });
      this.push('response.reasoning_summary_part.done', { ...at, part: summaryOf(item.json) });
    }
    item.isSaid = true;
  }
}

const states: ReadonlySet<string> = new Set([
  'response.queued',
  'response.created',
  'response.in_progress',
]);

const placeOf = ({ id, index }: Item) => ({ item_id: id, output_index: index });

const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';

/** The text of a content, also of one in parts. */
function textIn(content: unknown): string {
  if (typeof content === 'string') return content;
  return itemsOf(content)
    .map((part) => (isJsonObject(part) && typeof part['text'] === 'string' ? part['text'] : ''))
    .join('');
}
