import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import type { AnswerFacts } from '../../client-port.ts';
import { itemFor, itemKeyOf, textNameOf, withTexts } from '../said.ts';
import { escaped, unescaped } from './output.ts';
import type { Item } from './output.ts';
import { ownMembers, requestMembers } from './response.ts';

export type NativeTarget = {
  answer: AnswerFacts;
  /** Adds an item behind those that the response has. */
  add(id: string | undefined, members: Native): Item;
  push(type: string, members: JsonObject): void;
};

type Native = Omit<Item, 'index' | 'id' | 'isDone' | 'isSaid'>;

/** A text or a part of an item that the provider has begun and not ended, with its end. */
type Open = { type: string; members: JsonObject; isPart: boolean };

/**
 * Passes the provider's own events on, with the numbers that they have in this response, and notes what another attempt has to end or
 * to go on from.
 */
export class NativeOutput {
  /** The provider's last event. */
  end: JsonObject | undefined;
  private readonly target: NativeTarget;
  private readonly items = new Map<unknown, Item>();
  /** Of items other than messages: their texts, and what is open. */
  private readonly texts = new Map<Item, Map<string, string>>();
  private readonly open = new Map<Item, Map<string, Open>>();
  private head: JsonObject = {};
  private readonly states = new Set<string>();

  constructor(target: NativeTarget) {
    this.target = target;
  }

  /** The response has begun with an event of the provider. */
  get hasBegun(): boolean {
    return this.states.size > 0;
  }

  get model(): unknown {
    return this.head['model'];
  }

  /** `response.created` and its like: each once, whichever attempts send them. */
  takeState(type: string, { response, ...event }: JsonObject): void {
    if (!this.hasBegun) this.head = isJsonObject(response) ? response : {};
    if (this.states.has(type)) return;
    this.states.add(type);
    this.target.push(type, { ...event, response: { ...this.response(response), output: [] } });
  }

  /** A response of the provider, with the members that its events left out or that are this server's own. */
  response(response: unknown): JsonObject {
    const { answer } = this.target;
    const own = isJsonObject(response) ? response : {};
    return { ...this.head, ...own, ...requestMembers(answer), ...ownMembers(answer) };
  }

  /** The output of the provider's last event: `items` as they ended, but for those that it has otherwise. */
  outputOf(response: unknown, items: readonly unknown[]): readonly unknown[] {
    const own = isJsonObject(response) ? itemsOf(response['output']) : [];
    return own.length === 0 ? items : own.map((item) => itemFor(item, items));
  }

  take(type: string, event: JsonObject): void {
    if (type === 'response.output_item.added') {
      this.addItem(event);
      return;
    }
    const key = itemKeyOf(event);
    if (key === undefined) {
      this.target.push(type, event);
      return;
    }
    const item = this.items.get(key) ?? this.items.get(event['output_index']);
    // Of an item that did not begin here.
    if (!item) return;
    const whole = withTexts(event, (name) => this.textOf(item, name)) as JsonObject;
    if (type === 'response.output_item.done') {
      if (isJsonObject(whole['item'])) item.final = whole['item'];
      item.isDone = true;
      item.isSaid = true;
    } else if (item.kind === 'message') noteMessage(item, type, whole);
    else this.note(item, type, whole);
    this.target.push(type, { ...whole, output_index: item.index });
  }

  /** Ends what the provider has begun in an item that is no message. */
  close(item: Item): void {
    // The encoder ends calls.
    if ('callId' in item) return;
    const open = [...(this.open.get(item) ?? [])];
    // Parts end behind their texts.
    const inOrder = open.toSorted(([, a], [, b]) => Number(a.isPart) - Number(b.isPart));
    for (const [name, { type, members, isPart }] of inOrder) {
      const text = this.textOf(item, name.slice(name.indexOf(' ') + 1));
      const part = isJsonObject(members['part']) ? members['part'] : {};
      this.target.push(type, { ...members, ...(isPart ? { part: { ...part, text } } : { text }) });
    }
    this.open.delete(item);
    const texts = [...(this.texts.get(item) ?? [])];
    const listOf = (kind: string, type: string) => {
      const own = texts.filter(([name]) => name.startsWith(kind));
      return own.map(([, text]) => ({ type, text }));
    };
    if (item.kind !== 'reasoning') return;
    const content = listOf('content', 'reasoning_text');
    item.final = {
      ...item.native,
      summary: listOf('summary', 'summary_text'),
      ...(content.length > 0 && { content }),
    };
  }

  private addItem(event: JsonObject): void {
    const native = isJsonObject(event['item']) ? event['item'] : {};
    const { type, id, call_id: callId, name } = native;
    const own = typeof id === 'string' && id !== '' ? id : undefined;
    const item = this.target.add(own, { native, ...membersOf(type, callId, name) } as Native);
    this.items.set(own ?? event['output_index'], item);
    if (!this.items.has(event['output_index'])) this.items.set(event['output_index'], item);
    this.target.push('response.output_item.added', { ...event, output_index: item.index });
  }

  private textOf(item: Item, name: string): string {
    if (item.kind !== 'message') return this.texts.get(item)?.get(name) ?? '';
    return unescaped(item.parts[Number(name.replace('content ', ''))]?.json ?? '');
  }

  private note(item: Item, type: string, event: JsonObject): void {
    const { delta } = event;
    const name = textNameOf(event);
    const [, kind = '', state] = /^response\.(.*)[._](added|delta|done)$/.exec(type) ?? [];
    const isPart = kind.endsWith('part');
    let open = this.open.get(item);
    if (!open) this.open.set(item, (open = new Map<string, Open>()));
    const key = `${isPart ? 'part' : 'text'} ${name}`;
    if (state === 'done') open.delete(key);
    else if (state === 'added' || (state === 'delta' && !open.has(key))) {
      const { delta: _, logprobs: __, ...members } = event;
      const end = { type: type.replace(/(added|delta)$/, 'done'), isPart };
      open.set(key, { ...end, members: { ...members, output_index: item.index } });
    }
    if (typeof delta !== 'string') return;
    if ('json' in item) item.json += escaped(delta);
    let texts = this.texts.get(item);
    if (!texts) this.texts.set(item, (texts = new Map<string, string>()));
    texts.set(name, (texts.get(name) ?? '') + delta);
  }
}

function noteMessage(item: Item & { kind: 'message' }, type: string, event: JsonObject): void {
  const { delta, part, annotation } = event;
  if (type === 'response.content_part.added') {
    const isRefusal = isJsonObject(part) && part['type'] === 'refusal';
    const kind = isRefusal ? 'refusal' : 'output_text';
    item.parts.push({ type: kind, json: '', annotations: [], logprobs: [] });
    return;
  }
  const noted = item.parts[Number(event['content_index'] ?? 0)];
  if (!noted) return;
  if (typeof delta === 'string') {
    noted.json += escaped(delta);
    noted.logprobs.push(...itemsOf(event['logprobs']));
  } else if (isJsonObject(annotation)) noted.annotations.push(annotation);
  else if (type === 'response.content_part.done') noted.ended = 'part';
  else if (/^response\.(output_text|refusal)\.done$/.test(type)) noted.ended = 'text';
}

/** What is kept of an item, by its type. */
function membersOf(type: unknown, callId: unknown, name: unknown) {
  switch (type) {
    case 'message':
      return { kind: type, parts: [] };
    case 'reasoning':
      return { kind: type, json: '', encrypted: '' };
    case 'function_call':
    case 'custom_tool_call':
      return { kind: type, callId, called: { name }, json: '' };
    default:
      return { kind: 'other' };
  }
}
