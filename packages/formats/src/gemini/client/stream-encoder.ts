import type { OpenAiError } from '@millrace/shared/domain/entry';
import { isJsonObject, itemsOf, shownText } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { nativeMember } from '../../client-port.ts';
import type { AnswerEncoder, AnswerFacts, FormatEvent } from '../../client-port.ts';
import { choiceIndex, deltaOf, hasFinish, plainContent, usageOf } from '../../openai-chat/chunk.ts';
import { contentIn, templateOf } from '../../openai-chat/chunk-template.ts';
import type { ChunkTemplate } from '../../openai-chat/chunk-template.ts';
import { CallGatherer, echoOf, googleOf, logprobsResultOf, partsOf } from './candidate.ts';
import type { Echo } from './candidate.ts';
import { errorBody } from './error.ts';
import { finishReasonOf, fromInnerUsage, identityOf } from './usage.ts';

/** Writes the responses of a stream, each of them an event without a name. */
export const encodeStream = (answer: AnswerFacts): AnswerEncoder => new ResponseEncoder(answer);

type Candidate = {
  calls: CallGatherer;
  /** Google's own members, which come with the end. */
  members: JsonObject;
  signed: JsonObject[];
  end: { reason: string; native: unknown } | undefined;
};

/** Calls, which Gemini sends whole, and the end come last: Gemini's last event has the usage, too. */
class ResponseEncoder implements AnswerEncoder {
  private readonly answer: AnswerFacts;
  private readonly echo: Echo;
  private readonly candidates = new Map<number, Candidate>();
  /** `modelVersion` and `responseId`, as JSON: those of the first chunk. */
  private identity = '';
  /** The text of chunks that only add content. */
  private template: ChunkTemplate | undefined;
  private latestUsage: JsonObject | undefined;

  constructor(answer: AnswerFacts) {
    this.answer = answer;
    this.echo = echoOf(answer);
  }

  chunk(text: string): readonly FormatEvent[] {
    const content = this.template && contentIn(this.template, text);
    if (content !== undefined) {
      // The content is escaped already.
      const candidate = `{"content":{"parts":[{"text":"${content}"}],"role":"model"},"index":0}`;
      return [{ data: `{"candidates":[${candidate}],${this.identity.slice(1)}` }];
    }
    const chunk = JSON.parse(text) as unknown;
    if (!isJsonObject(chunk)) return [];
    const { [nativeMember]: native } = chunk;
    this.learn(chunk);
    if (native === undefined && plainContent(chunk) !== undefined) {
      this.template ??= templateOf(text);
    }
    const candidates = itemsOf(chunk['choices']).flatMap((choice, place) =>
      isJsonObject(choice) ? this.addChoice(choice, place, isJsonObject(native)) : [],
    );
    if (isJsonObject(native)) return [{ data: JSON.stringify(native) }];
    return candidates.length > 0 ? [this.response({ candidates })] : [];
  }

  usage(text: string): readonly FormatEvent[] {
    this.latestUsage = fromInnerUsage(usageOf(JSON.parse(text)) ?? {});
    return [];
  }

  end(): readonly FormatEvent[] {
    const candidates = [...this.candidates].flatMap(([index, candidate]) => {
      const { calls, members, signed, end } = candidate;
      if (!end) return [];
      const added = [...signed, ...calls.parts()];
      // Chats of Google's SDKs drop the whole answer if a response has no part.
      const parts = added.length > 0 ? added : [{ text: '' }];
      const finishReason = finishReasonOf(end.reason, end.native);
      return [{ content: { parts, role: 'model' }, finishReason, index, ...members }];
    });
    const usage = this.latestUsage && { usageMetadata: this.latestUsage };
    return candidates.length > 0 ? [this.response({ candidates, ...usage })] : [];
  }

  error(error: OpenAiError, status: number): readonly FormatEvent[] {
    return [{ data: JSON.stringify(errorBody(error, status)) }];
  }

  /**
   * An empty text: Google's SDK for Python takes a comment for a response, and the one for JavaScript drops the event
   * behind it.
   */
  keepAlive(): FormatEvent {
    const members = {
      candidates: [{ content: { parts: [{ text: '' }], role: 'model' }, index: 0 }],
    };
    // Before the first chunk the identity of the answer is not known.
    return this.identity === '' ? { data: JSON.stringify(members) } : this.response(members);
  }

  /** The candidate that a choice adds; none if there is nothing to show yet. `isNative`: the provider's event shows it. */
  private addChoice(choice: JsonObject, place: number, isNative: boolean): JsonObject[] {
    const index = choiceIndex(choice, place);
    const delta = deltaOf(choice) ?? {};
    let candidate = this.candidates.get(index);
    if (!candidate) {
      candidate = { calls: new CallGatherer(), members: {}, signed: [], end: undefined };
      this.candidates.set(index, candidate);
    }
    // The provider's own event has its calls, its signatures and its end.
    if (isNative) return [];
    candidate.calls.add(delta);
    const google = googleOf(delta);
    candidate.signed.push(...google.parts);
    Object.assign(candidate.members, google.members);
    if (hasFinish(choice)) {
      const { finish_reason: reason, native_finish_reason: native } = choice;
      candidate.end = { reason: shownText(reason), native };
    }
    const parts = partsOf(delta, this.echo);
    if (parts.length === 0) return [];
    return [{ content: { parts, role: 'model' }, index, ...logprobsResultOf(choice['logprobs']) }];
  }

  private learn(chunk: JsonObject): void {
    if (this.identity === '') this.identity = JSON.stringify(identityOf(chunk, this.answer));
  }

  private response(members: JsonObject): FormatEvent {
    this.learn({});
    return { data: `${JSON.stringify(members).slice(0, -1)},${this.identity.slice(1)}` };
  }
}
