import type { Clock } from './clock.ts';
import type { Exchange } from './exchange.ts';
import { frameText } from './exchange.ts';
import type { Call, Script } from './steps.ts';
import { isVisible } from './steps.ts';

// The fast path: an answer that depends only on its options is encoded once and then only gets a new id. It
// runs the same script as the slow path, so both produce the same.

/** The data of one write. */
interface Burst {
  readonly afterMs: number;
  /** The text around the ids. */
  readonly parts: readonly string[];
  readonly tokens: number;
}

/** Cannot occur in JSON, where control characters are always escaped. */
const ID = '\u0001';

const CACHE_LIMIT = 256;
/** Longer answers are played step by step, at the reader's pace. */
const LONGEST = 262_144;

interface Cached {
  readonly second: number;
  readonly bursts: readonly Burst[];
}

export class ReusableAnswers {
  readonly #cache = new Map<string, Cached>();

  /** The bursts of this answer; undefined if the script does more than speak and wait. */
  burstsFor(call: Call, script: Script, second: number): readonly Burst[] {
    const { asked } = call;
    const key = `${asked.stream}|${asked.n}|${asked.maxTokens}|${asked.logprobs}|${asked.includeUsage}|${asked.promptTokens}|${call.format.newId(0)}|${asked.model}`;
    const cached = this.#cache.get(key);
    if (cached?.second === second) return cached.bursts;
    const bursts = asked.stream
      ? compile(call, script, second)
      : compileWhole(call, script, second);
    if (this.#cache.size >= CACHE_LIMIT) this.#cache.clear();
    this.#cache.set(key, { second, bursts });
    return bursts;
  }
}

/** Whether an answer is short and simple enough to be cached as bytes. */
export function isReusable({ options, asked, format }: Call): boolean {
  if (format.isReusable === false) return false;
  const deltas = (options.tokens + options.reasoning) * (options.n || asked.n);
  return options.bytes === 0 && asked.output.kind === 'text' && deltas * 256 <= LONGEST;
}

function compile(call: Call, script: Script, second: number): Burst[] {
  const encoder = call.format.encoder(call, { id: `"${ID}"`, created: String(second) });
  const bursts: Burst[] = [];
  let burst = { afterMs: 0, text: '', tokens: 0 };
  const close = (): void => {
    bursts.push({ afterMs: burst.afterMs, parts: burst.text.split(ID), tokens: burst.tokens });
  };
  for (const step of script(call)) {
    if (step.kind === 'wait') {
      close();
      burst = { afterMs: step.ms, text: '', tokens: 0 };
    } else if (step.kind === 'say') {
      for (const frame of encoder.frames(step.event)) burst.text += frameText(frame, call.options);
      if (isVisible(step.event)) burst.tokens += 1;
    }
  }
  close();
  return bursts;
}

function compileWhole(call: Call, script: Script, second: number): Burst[] {
  const encoder = call.format.encoder(call, { id: `"${ID}"`, created: String(second) });
  const steps = [...script(call)];
  const events = steps.flatMap((step) => (step.kind === 'say' ? [step.event] : []));
  const afterMs = steps.reduce((sum, step) => sum + (step.kind === 'wait' ? step.ms : 0), 0);
  const parts = encoder.whole(events).split(ID);
  return [{ afterMs, parts, tokens: events.filter(isVisible).length }];
}

/** Sends cached bursts as an event stream, each at its time and no faster than the reader reads. */
export function playBursts(
  bursts: readonly Burst[],
  id: string,
  exchange: Exchange,
  clock: Clock,
): void {
  const { response } = exchange;
  let next = 0;
  let due = clock.now();
  let cancel: (() => void) | undefined;
  const step = (): void => {
    for (;;) {
      const burst = bursts[next];
      if (burst === undefined || !exchange.isOpen) return;
      next += 1;
      const text = burst.parts.join(id);
      exchange.countTokens(burst.tokens);
      if (next === bursts.length) {
        response.end(text);
        return;
      }
      const flowing = text === '' || response.write(text);
      if (!flowing) {
        response.once('drain', later);
        return;
      }
      if (!wait()) continue;
      return;
    }
  };
  const wait = (): boolean => {
    const ms = bursts[next]?.afterMs ?? 0;
    if (ms === 0) return false;
    due = Math.max(due + ms, clock.now());
    cancel = clock.at(due, step);
    return true;
  };
  const later = (): void => {
    if (!wait()) step();
  };
  exchange.head();
  if (bursts.length > 1) {
    response.flushHeaders();
    response.once('close', () => cancel?.());
  }
  step();
}

/** Sends a cached whole answer after the time that its deltas would have taken. */
export function replyLater(burst: Burst, id: string, exchange: Exchange, clock: Clock): void {
  const reply = (): void => {
    if (!exchange.isOpen) return;
    exchange.countTokens(burst.tokens);
    exchange.reply({ status: 200, contentType: 'application/json', body: burst.parts.join(id) });
  };
  if (burst.afterMs === 0) return reply();
  const cancel = clock.at(clock.now() + burst.afterMs, reply);
  exchange.response.once('close', cancel);
}
