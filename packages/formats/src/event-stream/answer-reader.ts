import type { Fault } from '@millrace/shared/domain/fault';
import type { JsonObject } from '@millrace/shared/domain/json';
import type { StreamReader, Verdict } from '../port.ts';
import { createEventStreamParser } from './parser.ts';
import type { EventStreamParser, UpstreamEvent } from './parser.ts';
import { readEvent } from './read-event.ts';

/** Interprets the events of one answer in a wire format. Nothing here throws. */
export type AnswerDecoder = {
  /** Takes an event that only adds text to the answer, without parsing it; false if it has to be parsed. */
  takeText?(event: UpstreamEvent): boolean;
  /** The fault in an event; undefined if there is none. `value`: its data, if that is a JSON object. */
  faultIn(event: UpstreamEvent, value: JsonObject | undefined): Fault | undefined;
  /** Takes an event without a fault. */
  take(value: JsonObject, event: UpstreamEvent): Taken;
  /** Takes the usage, if it has one, of an event with a fault behind a finished answer. */
  takeUsage?(value: JsonObject, event: UpstreamEvent): void;
  /** `[DONE]`. */
  done(): Taken;
  /** Every choice has its finish_reason. */
  readonly finished: boolean;
  /** The verdict on a finished answer. `isCut`: what followed its last finish_reason was lost, or broke off. */
  completed(isCut: boolean): Verdict;
};

/**
 * The result of an event: nothing (undefined), the end of a finished answer (`completed`), or any other
 * verdict; `ignored` if it was only a keep-alive, `damaged` if it may have had a part of the answer that
 * cannot be read.
 */
export type Taken = Verdict | 'completed' | 'damaged' | 'ignored' | undefined;

/** Bytes of one event: it may contain a whole answer, with its reasoning and its tool calls. */
const maxEventBytes = 16 * 1024 * 1024;

/**
 * Reads a streamed answer. For every format, an event that cannot be read ends the attempt, unless every
 * choice has its finish_reason; after that nothing can break the answer.
 */
export function readAnswer(decoder: AnswerDecoder): StreamReader {
  return new AnswerReader(decoder);
}

class AnswerReader implements StreamReader {
  private readonly decoder: AnswerDecoder;
  private readonly parser: EventStreamParser;
  private verdict: Verdict | undefined;
  private hasEvents = false;
  private isCut = false;

  constructor(decoder: AnswerDecoder) {
    this.decoder = decoder;
    this.parser = createEventStreamParser({
      onEvent: (event) => this.onEvent(event),
      onStray: (data) => this.onEvent({ data }),
      maxEventBytes,
    });
  }

  get finished(): boolean {
    return this.decoder.finished;
  }

  push(bytes: Uint8Array): Verdict | undefined {
    try {
      this.parser.push(bytes);
    } catch {
      this.verdict ??= tooLarge;
    }
    return this.verdict;
  }

  end(): Verdict {
    try {
      this.parser.end();
    } catch {
      // Too large: for the reader it is an answer without an end.
    }
    this.verdict ??= this.atEnd();
    return this.verdict;
  }

  /** The body ended without the format's own end marker, so events before that marker may be missing. */
  private atEnd(): Verdict {
    if (this.decoder.finished) return this.decoder.completed(true);
    return this.hasEvents ? truncated('before it was complete') : noEvent;
  }

  private onEvent(event: UpstreamEvent): void {
    const { decoder } = this;
    if (this.verdict || decoder.takeText?.(event) === true) return;
    const read = readEvent(event);
    if (read.kind === 'nothing') return;
    if (read.kind === 'done') {
      this.settle(decoder.done());
      return;
    }
    const value = read.kind === 'json' ? read.value : undefined;
    const fault = decoder.faultIn(event, value);
    if (fault === undefined) this.settle(value ? decoder.take(value, event) : 'damaged');
    else if (decoder.finished) {
      if (value) decoder.takeUsage?.(value, event);
      this.verdict = decoder.completed(true);
    } else this.verdict = { kind: 'fault', fault };
  }

  private settle(taken: Taken): void {
    if (taken === 'ignored') return;
    this.hasEvents = true;
    if (taken === 'completed') this.verdict = this.decoder.completed(this.isCut);
    else if (taken !== 'damaged') this.verdict = taken;
    else if (this.decoder.finished) this.isCut = true;
    else this.verdict = damagedEvent;
  }
}

const fault = (code: Fault['code'], message: string): Verdict => ({
  kind: 'fault',
  fault: { code, message },
});

export const truncated = (how: string): Verdict =>
  fault('upstream_truncated', `The provider ended its answer ${how}.`);

const damagedEvent = fault(
  'upstream_invalid_response',
  'The provider sent an event that cannot be read.',
);

const noEvent = fault(
  'upstream_invalid_response',
  'The provider answered a stream request with no event.',
);

const tooLarge = fault(
  'upstream_response_too_large',
  'The provider sent an event that is larger than this server reads.',
);
