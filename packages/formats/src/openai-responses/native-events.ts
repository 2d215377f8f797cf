import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { itemKeyOf, itemReference, textNameOf, withReferences } from './said.ts';

/**
 * Makes the events that a log keeps for clients of the same API (`nativeMember`). The client's encoder adds again what they leave
 * out: what a response repeats of its request, of its first event and of its items, and whole texts that were sent in pieces.
 */
export class NativeEvents {
  /** The item and the part to which plain deltas belong: the newest ones. */
  private openText: string | undefined;
  /** The response as its first event has it, without what its request has. */
  private head: string | undefined;
  /** Items as they ended, as JSON: some providers encrypt or number them anew in the response. */
  private readonly ended = new Set<string>();
  /** The texts of each item, each by its part. */
  private readonly said = new Map<unknown, Map<string, string>>();

  /** Undefined: the event is a plain piece of the newest text, which its chunk says. */
  take(type: unknown, value: JsonObject): JsonObject | undefined {
    // The padding hides the lengths of the provider's packets, which end here.
    const { sequence_number: _, obfuscation: __, ...event } = value;
    const { response, delta } = event;
    if (isJsonObject(response)) return { ...event, type, response: this.shorten(response) };
    if (typeof delta === 'string') {
      this.note(event, delta);
      const isPlain = type === 'response.output_text.delta' && hasOnlyText(event);
      return isPlain && placeOf(event) === this.openText ? undefined : { ...event, type };
    }
    if (type === 'response.content_part.added') this.openText = placeOf(event);
    else if (type === 'response.output_item.added') this.openText = undefined;
    if (type === 'response.output_item.done') this.ended.add(JSON.stringify(event['item']));
    const texts = this.said.get(itemKeyOf(event));
    return { ...(texts ? (withReferences(event, texts) as JsonObject) : event), type };
  }

  private note(event: JsonObject, delta: string): void {
    const key = itemKeyOf(event);
    // A text of no item cannot be found again.
    if (key === undefined) return;
    let texts = this.said.get(key);
    if (!texts) this.said.set(key, (texts = new Map<string, string>()));
    const name = textNameOf(event);
    texts.set(name, (texts.get(name) ?? '') + delta);
  }

  private shorten(response: JsonObject): JsonObject {
    const { instructions: _, tools: __, output, ...own } = response;
    const head = JSON.stringify({ ...own, status: '' });
    if (this.head === head) return { status: own['status'] };
    this.head ??= head;
    const texts = itemsOf(output).map((item) => JSON.stringify(item));
    // The encoder has all items as they ended.
    if (texts.join() === [...this.ended].join()) return own;
    const items = itemsOf(output).map((item, index) =>
      this.ended.has(texts[index] ?? '') ? itemReference(item) : item,
    );
    return { ...own, ...(items.length > 0 && { output: items }) };
  }
}

const placeOf = (event: JsonObject): string =>
  JSON.stringify([itemKeyOf(event), textNameOf(event)]);

function hasOnlyText(event: JsonObject): boolean {
  const { type: _, item_id: __, output_index: ___, content_index: ____, ...others } = event;
  const { delta: _____, logprobs, ...more } = others;
  return itemsOf(logprobs).length === 0 && Object.keys(more).length === 0;
}
