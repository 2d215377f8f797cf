import type { OpenAiError } from '@millrace/shared/domain/entry';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import type { AnswerEncoder, FormatEvent } from '../../client-port.ts';
import { choiceIndex, deltaOf, hasFinish, plainContent } from '../../openai-chat/chunk.ts';
import { contentIn, templateOf } from '../../openai-chat/chunk-template.ts';
import type { ChunkTemplate } from '../../openai-chat/chunk-template.ts';
import { textChoice, textId, textIn } from './choices.ts';

/** Writes the chunks of a completion; the marker of a stream's end is the business of the client API. */
export const encodeStream = (): AnswerEncoder => new TextChunkEncoder();

class TextChunkEncoder implements AnswerEncoder {
  /** The text of chunks that only add content, and what surrounds that content here. */
  private template: { read: ChunkTemplate; before: string; after: string } | undefined;
  /** The characters of each choice so far. */
  private readonly lengths = new Map<number, number>();

  chunk(text: string): readonly FormatEvent[] {
    const { template } = this;
    const content = template && contentIn(template.read, text);
    if (content !== undefined) {
      // It has no escapes.
      this.add(0, content.length);
      return [{ data: template?.before + content + template?.after }];
    }
    const chunk = JSON.parse(text) as unknown;
    if (!isJsonObject(chunk)) return [];
    if (!this.template && plainContent(chunk) !== undefined) this.learn(text, chunk);
    const choices = itemsOf(chunk['choices']).filter(isJsonObject);
    if (!choices.some(isShown)) return [];
    return [{ data: JSON.stringify(this.convert(chunk, choices)) }];
  }

  usage(text: string): readonly FormatEvent[] {
    const chunk = JSON.parse(text) as unknown;
    return isJsonObject(chunk) ? [{ data: JSON.stringify(this.convert(chunk, [])) }] : [];
  }

  end(): readonly FormatEvent[] {
    return [];
  }

  error(error: OpenAiError): readonly FormatEvent[] {
    return [{ data: JSON.stringify({ error }) }];
  }

  private convert(chunk: JsonObject, choices: readonly JsonObject[]): JsonObject {
    return {
      ...chunk,
      id: textId(chunk['id']),
      object: 'text_completion',
      choices: choices.map((choice, place) => {
        const index = choiceIndex(choice, place);
        const converted = textChoice(choice, place, this.lengths.get(index) ?? 0);
        this.add(index, textIn(deltaOf(choice) ?? {}).length);
        return converted;
      }),
    };
  }

  private learn(text: string, chunk: JsonObject): void {
    const read = templateOf(text);
    const content = read && contentIn(read, text);
    if (read === undefined || content === undefined) return;
    const choices = itemsOf(chunk['choices']).filter(isJsonObject);
    const shown = JSON.stringify({
      ...chunk,
      id: textId(chunk['id']),
      object: 'text_completion',
      choices: choices.map((choice, place) => ({ ...textChoice(choice, place, 0), text: marker })),
    });
    const [before, after, ...more] = shown.split(marker);
    if (before === undefined || after === undefined || more.length > 0) return;
    this.template = { read, before, after };
  }

  private add(index: number, length: number): void {
    this.lengths.set(index, (this.lengths.get(index) ?? 0) + length);
  }
}

/** Stands for the content while a template is made. */
const marker = '\uE000content\uE000';

/** A role or a thought alone is nothing in this format. */
const isShown = (choice: JsonObject): boolean => {
  const delta = deltaOf(choice) ?? {};
  return (
    hasFinish(choice) ||
    textIn(delta) !== '' ||
    Object.keys(delta).every((name) => name === 'content')
  );
};
