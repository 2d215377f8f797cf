import { isJsonObject, itemsOf, shownText } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import type { Delta } from '../openai-chat/chunk-writer.ts';
import { newCallId } from '../openai-chat/identity.ts';
import { joinedName } from './namespace.ts';
import { reasoningDetail } from './reasoning.ts';

/** `logprobs`: those of the delta's content, in the form of a chat completion. */
export type Emit = (delta: Delta, logprobs?: readonly unknown[]) => void;

/** `damaged` if it may have had a part of the answer that cannot be read. */
type Step = 'damaged' | undefined;

type Kind = 'content' | 'refusal' | 'reasoning';

/** A text of an item: which one, and what has come of it. */
type Text = { kind: Kind; sent: string; from: number };

type Call = { index: number; id: unknown; type: 'function' | 'custom'; sent: string };

/**
 * Converts the output items of one response to deltas of a chat completion. Each text and each call comes in pieces, then as a
 * whole, then once more in its item, and once more in the response: what comes first counts, and a later repetition only adds
 * what is missing at the end.
 *
 * Items that are neither text of the answer, nor reasoning, nor calls to the client are skipped: the provider's own tools.
 */
export class OutputReader {
  private readonly emit: Emit;
  private readonly texts = new Map<string, Text>();
  private readonly calls = new Map<string, Call>();
  /** Encrypted reasoning, by item. */
  private readonly encrypted = new Map<string, { data: string; id: unknown }>();
  private readonly annotated = new Set<string>();
  /** The places of items by their ids: the last event may leave some items out. */
  private readonly places = new Map<unknown, string>();
  /** Some gateways give all items the same place. */
  private sharesPlaces = false;
  /** Items of which something came. */
  private readonly items = new Set<string>();
  /** Characters of the answer's content so far. */
  private length = 0;
  private hasReasoning = false;
  private callCount = 0;

  constructor(emit: Emit) {
    this.emit = emit;
  }

  get hasCalls(): boolean {
    return this.callCount > 0;
  }

  /** Takes an event between the start of a response and its end. */
  take(type: unknown, event: JsonObject): Step {
    const place = placeOf(event);
    switch (type) {
      case 'response.output_item.added':
      case 'response.output_item.done':
        return this.takeItem(event['item'], place);
      case 'response.content_part.added':
      case 'response.content_part.done':
        return this.takePart(place, numberOf(event['content_index']), event['part']);
      case 'response.output_text.delta':
        return this.addText('content', place, event['content_index'], event);
      case 'response.output_text.done':
        return this.completeText('content', place, event['content_index'], event['text']);
      case 'response.refusal.delta':
        return this.addText('refusal', place, event['content_index'], event);
      case 'response.refusal.done':
        return this.completeText('refusal', place, event['content_index'], event['refusal']);
      case 'response.reasoning_text.delta':
        return this.addText('reasoning', `${place}/text`, event['content_index'], event);
      case 'response.reasoning_text.done':
        return this.completeText(
          'reasoning',
          `${place}/text`,
          event['content_index'],
          event['text'],
        );
      case 'response.reasoning_summary_text.delta':
        return this.addText('reasoning', `${place}/summary`, event['summary_index'], event);
      case 'response.reasoning_summary_text.done':
        return this.completeText(
          'reasoning',
          `${place}/summary`,
          event['summary_index'],
          event['text'],
        );
      case 'response.output_text.annotation.added':
        this.annotate(place, numberOf(event['content_index']), [event['annotation']]);
        return undefined;
      case 'response.function_call_arguments.delta':
      case 'response.custom_tool_call_input.delta':
        return this.addArguments(place, event['delta']);
      case 'response.function_call_arguments.done':
        return this.completeArguments(place, event['arguments']);
      case 'response.custom_tool_call_input.done':
        return this.completeArguments(place, event['input']);
      default:
        return undefined;
    }
  }

  /** Takes the output of a response that has ended. After events, it has nothing new but what they left out. */
  takeOutput(output: unknown): Step {
    const hadEvents = this.items.size > 0;
    for (const [index, item] of itemsOf(output).entries()) {
      const id = isJsonObject(item) ? item['id'] : undefined;
      const place = (!this.sharesPlaces && this.places.get(id)) || `${index}`;
      if (hadEvents && !this.items.has(place)) continue;
      if (this.takeItem(item, place) === 'damaged') return 'damaged';
    }
    return undefined;
  }

  /** The encrypted reasoning, in the order of its items. Complete only at the end, and different in each run of an answer. */
  encryptedReasoning(): Record<string, unknown>[] {
    return [...this.encrypted.values()].map(({ data, id }, index) =>
      reasoningDetail(data, id, index),
    );
  }

  private takeItem(item: unknown, place: string): Step {
    if (!isJsonObject(item)) return 'damaged';
    this.items.add(place);
    const { id } = item;
    if (typeof id === 'string' && id !== '') this.notePlace(id, place);
    switch (item['type']) {
      case 'message':
        return this.takeParts(place, item['content']);
      case 'reasoning':
        return this.takeReasoning(place, item);
      case 'function_call':
        return this.takeCall('function', place, item, item['arguments']);
      case 'custom_tool_call':
        return this.takeCall('custom', place, item, item['input']);
      default:
        return undefined;
    }
  }

  private notePlace(id: string, place: string): void {
    if (this.places.has(id)) return;
    this.sharesPlaces ||= [...this.places.values()].includes(place);
    this.places.set(id, place);
  }

  private takeParts(place: string, parts: unknown): Step {
    for (const [index, part] of itemsOf(parts).entries()) {
      if (this.takePart(place, index, part) === 'damaged') return 'damaged';
    }
    return undefined;
  }

  private takePart(place: string, index: number, part: unknown): Step {
    if (!isJsonObject(part)) return 'damaged';
    const { type, text, refusal, logprobs } = part;
    if (type === 'refusal') return this.completeText('refusal', place, index, refusal);
    if (type === 'reasoning_text') {
      return this.completeText('reasoning', `${place}/text`, index, text);
    }
    if (type !== 'output_text') return undefined;
    const step = this.completeText('content', place, index, text, logprobs);
    this.annotate(place, index, itemsOf(part['annotations']));
    return step;
  }

  /** The raw reasoning takes precedence over its summary. */
  private takeReasoning(place: string, item: JsonObject): Step {
    const { encrypted_content: data, id } = item;
    if (typeof data === 'string' && data !== '') this.encrypted.set(place, { data, id });
    const raw = itemsOf(item['content']);
    if (raw.length > 0) return this.takeParts(place, raw);
    for (const [index, part] of itemsOf(item['summary']).entries()) {
      const text = isJsonObject(part) ? part['text'] : undefined;
      if (this.completeText('reasoning', `${place}/summary`, index, text) === 'damaged') {
        return 'damaged';
      }
    }
    return undefined;
  }

  private addText(kind: Kind, place: string, index: unknown, event: JsonObject): Step {
    const { delta } = event;
    if (typeof delta !== 'string') return unread(delta);
    this.say(this.textAt(kind, place, numberOf(index)), delta, event['logprobs']);
    return undefined;
  }

  private completeText(
    kind: Kind,
    place: string,
    index: unknown,
    whole: unknown,
    logprobs?: unknown,
  ): Step {
    if (typeof whole !== 'string') return unread(whole);
    const text = this.textAt(kind, place, numberOf(index));
    const isWhole = text.sent === '';
    if (whole.startsWith(text.sent)) {
      this.say(text, whole.slice(text.sent.length), isWhole ? logprobs : undefined);
    }
    return undefined;
  }

  private textAt(kind: Kind, place: string, index: number): Text {
    this.items.add(place.split('/')[0] ?? place);
    const key = `${kind} ${place} ${index}`;
    let text = this.texts.get(key);
    if (!text) this.texts.set(key, (text = { kind, sent: '', from: this.length }));
    return text;
  }

  private say(text: Text, piece: string, logprobs: unknown): void {
    if (piece === '') return;
    const isFirst = text.sent === '';
    text.sent += piece;
    if (text.kind === 'reasoning') {
      // Summaries come in paragraphs, and a chat completion has only one text of reasoning.
      const gap = isFirst && this.hasReasoning ? '\n\n' : '';
      this.hasReasoning = true;
      this.emit({ reasoning_content: gap + piece });
      return;
    }
    if (text.kind === 'content') this.length += piece.length;
    const tokens = itemsOf(logprobs).flatMap(toChatLogprob);
    this.emit({ [text.kind]: piece }, tokens.length > 0 ? tokens : undefined);
  }

  /** Each annotation comes in an event of its own, and again in its part. */
  private annotate(place: string, index: number, annotations: readonly unknown[]): void {
    const { from } = this.textAt('content', place, index);
    const fresh = annotations.flatMap((annotation) => {
      const key = `${place} ${index} ${JSON.stringify(annotation)}`;
      if (!isJsonObject(annotation) || this.annotated.has(key)) return [];
      this.annotated.add(key);
      return [toChatAnnotation(annotation, from)];
    });
    if (fresh.length > 0) this.emit({ annotations: fresh });
  }

  private takeCall(type: Call['type'], place: string, item: JsonObject, text: unknown): Step {
    const { name: own, namespace, call_id: id } = item;
    // Some gateways give all items the same index.
    const known = this.calls.get(place);
    if (known && known.id === id) return this.completeArguments(place, text);
    if (typeof own !== 'string' || own === '') return 'damaged';
    const name = joinedName(own, namespace);
    const index = this.callCount++;
    this.calls.set(place, { index, id, type, sent: '' });
    const given = typeof id === 'string' && id !== '' ? id : newCallId();
    const called =
      type === 'function'
        ? { type, function: { name, arguments: '' } }
        : { type, custom: { name, input: '' } };
    this.emit({ tool_calls: [{ index, id: given, ...called }] });
    return this.completeArguments(place, text);
  }

  private addArguments(place: string, piece: unknown): Step {
    const call = this.calls.get(place);
    if (!call || typeof piece !== 'string') return call ? unread(piece) : 'damaged';
    if (piece === '') return undefined;
    call.sent += piece;
    const { index } = call;
    const more =
      call.type === 'function' ? { function: { arguments: piece } } : { custom: { input: piece } };
    this.emit({ tool_calls: [{ index, ...more }] });
    return undefined;
  }

  private completeArguments(place: string, whole: unknown): Step {
    const call = this.calls.get(place);
    if (!call) return 'damaged';
    // Some servers send the arguments as an object instead of its JSON text.
    const text = isJsonObject(whole) ? JSON.stringify(whole) : whole;
    if (typeof text !== 'string') return unread(text);
    return text.startsWith(call.sent)
      ? this.addArguments(place, text.slice(call.sent.length))
      : undefined;
  }
}

/** The item of an event: by its index, because some gateways give an item another id in each event. */
const placeOf = ({ output_index: index, item_id: id, item }: JsonObject): string =>
  typeof index === 'number' ? `${index}` : shownText(id ?? (isJsonObject(item) ? item['id'] : ''));

const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** A piece that is no text; null and absence are not damage. */
const unread = (piece: unknown): Step =>
  piece === undefined || piece === null ? undefined : 'damaged';

/** Indices in a part become those in the content, to which the texts of all parts are joined. */
function toChatAnnotation(annotation: JsonObject, from: number): Record<string, unknown> {
  const { type, start_index: start, end_index: end, title, url } = annotation;
  if (type !== 'url_citation') return { ...annotation };
  const citation = {
    start_index: numberOf(start) + from,
    end_index: numberOf(end) + from,
    title: typeof title === 'string' ? title : '',
    url,
  };
  return { type, url_citation: citation };
}

/** Nothing for what is no log probability. */
function toChatLogprob(logprob: unknown): Record<string, unknown>[] {
  if (!isJsonObject(logprob) || typeof logprob['token'] !== 'string') return [];
  const { token, logprob: value, bytes, top_logprobs: top } = logprob;
  const own = { token, logprob: value, bytes: bytes ?? [...Buffer.from(token)] };
  const others = itemsOf(top).flatMap(toChatLogprob);
  return [{ ...own, top_logprobs: others.map(({ top_logprobs: _, ...one }) => one) }];
}
