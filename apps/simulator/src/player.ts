import type { Clock } from './clock.ts';
import type { Exchange } from './exchange.ts';
import { commentText, frameText } from './exchange.ts';
import type { AnswerEvent, Call, Encoder, Frame, Step } from './steps.ts';
import { isVisible } from './steps.ts';

/** Characters after which a write is made before the next step, so that a huge answer is never held as a whole. */
const WRITE_SIZE = 65_536;

/** Characters that a damaged event, or a damaged answer, lacks at its end. */
const DAMAGE = 4;

/** Waits on an absolute schedule, so that a thousand late timers do not add up to a late stream. */
class Schedule {
  readonly #clock: Clock;
  readonly #gone: AbortSignal;
  #due: number;

  constructor(clock: Clock, gone: AbortSignal) {
    this.#clock = clock;
    this.#gone = gone;
    this.#due = clock.now();
  }

  async wait(ms: number): Promise<void> {
    this.#due = Math.max(this.#due + ms, this.#clock.now());
    await this.#clock.until(this.#due, this.#gone);
  }
}

/** Plays a script as an event stream. Ends when the script or the connection does. */
export async function playStream(
  steps: Iterable<Step>,
  { options, format }: Call,
  encoder: Encoder,
  exchange: Exchange,
  clock: Clock,
): Promise<void> {
  const schedule = new Schedule(clock, exchange.gone);
  const packet = options.bytes;
  let pending = '';
  let tokens = 0;
  const add = (frames: readonly Frame[]): void => {
    for (const frame of frames) pending += frame.isRaw ? frame.data : frameText(frame, options);
  };
  const flush = async (): Promise<void> => {
    if (pending === '') return;
    const text = pending;
    pending = '';
    exchange.head(200, encoder.contentType);
    const bytes = encoder.contentType === undefined ? text : Buffer.from(text, 'latin1');
    const written = exchange.write(bytes, packet);
    exchange.countTokens(tokens);
    tokens = 0;
    await written;
  };
  for (const step of steps) {
    if (!exchange.isOpen) return;
    switch (step.kind) {
      case 'head':
        exchange.flushHead(encoder.contentType);
        break;
      case 'wait':
        await flush();
        await schedule.wait(step.ms);
        break;
      case 'say':
        add(encoder.frames(step.event));
        if (isVisible(step.event)) tokens += 1;
        if (pending.length >= WRITE_SIZE) await flush();
        break;
      case 'partial': {
        await flush();
        const text = encoder
          .frames(step.event)
          .map((frame) => frameText(frame, options))
          .join('');
        await exchange.write(Buffer.from(text).subarray(0, step.bytes), packet);
        break;
      }
      case 'damaged':
        add(
          encoder
            .frames(step.event)
            .map((frame) => ({ ...frame, data: frame.data.slice(0, -DAMAGE) })),
        );
        break;
      case 'frame':
        add([step.frame]);
        break;
      case 'keep-alive':
        exchange.flushHead();
        if (format.keepAlive !== undefined) add([format.keepAlive]);
        else pending += commentText('keep-alive', options);
        break;
      case 'error':
        add(encoder.error(step.shape, step.error));
        break;
      case 'reply':
        exchange.reply(step.reply);
        return;
      case 'cut':
        await flush();
        await exchange.cut(step.how);
        return;
      case 'silence':
        await flush();
        await clientLeft(exchange);
        return;
      default:
        await flush();
        exchange.head(200, encoder.contentType);
        exchange.response.end();
        return;
    }
  }
}

/** Plays a script for a request without streaming: one JSON answer at its end. */
export async function playWhole(
  steps: Iterable<Step>,
  call: Call,
  encoder: Encoder,
  exchange: Exchange,
  clock: Clock,
): Promise<void> {
  const schedule = new Schedule(clock, exchange.gone);
  const said: AnswerEvent[] = [];
  let damage = 0;
  for (const step of steps) {
    if (!exchange.isOpen) return;
    switch (step.kind) {
      case 'wait':
        await schedule.wait(step.ms);
        break;
      case 'say':
        said.push(step.event);
        break;
      case 'damaged':
        said.push(step.event);
        damage = DAMAGE;
        break;
      case 'error': {
        const body = call.format.errorBody(step.error, call.requestId);
        exchange.reply({ status: step.error.status, contentType: 'application/json', body });
        return;
      }
      case 'reply':
        exchange.reply(step.reply);
        return;
      case 'cut':
        if (said.length > 0) await sendPart(encoder.whole(said), isComplete(said), exchange);
        await exchange.cut(step.how);
        return;
      case 'silence':
        await clientLeft(exchange);
        return;
      case 'end':
        exchange.countTokens(said.filter(isVisible).length);
        exchange.reply({
          status: 200,
          contentType: 'application/json',
          body: damage === 0 ? encoder.whole(said) : encoder.whole(said).slice(0, -damage),
        });
        return;
      default:
        break;
    }
  }
}

/** A cut answer announces its whole length and breaks off in the middle; a finished one is complete. */
async function sendPart(text: string, complete: boolean, exchange: Exchange): Promise<void> {
  const bytes = Buffer.from(text);
  exchange.head(200, 'application/json', { 'content-length': String(bytes.length) });
  await exchange.write(complete ? bytes : bytes.subarray(0, bytes.length >> 1));
}

function isComplete(said: readonly AnswerEvent[]): boolean {
  return said.some(({ type }) => type === 'finish');
}

async function clientLeft({ gone }: Exchange): Promise<void> {
  if (gone.aborted) return;
  await new Promise<void>((resolve) =>
    gone.addEventListener('abort', () => resolve(), { once: true }),
  );
}
