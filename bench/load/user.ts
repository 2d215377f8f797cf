import { Client, type Dispatcher } from 'undici';
import { type Expectation, FrameChecker, FRAMING } from './frames.ts';
import type { LoadSpec } from './spec.ts';
import { Samples } from './samples.ts';

/** Milliseconds of silence after which a request has failed; nothing waits longer. */
const SILENCE_MS = 10_000;
const FAULTS_KEPT = 5;

/** The common counters of all users of one run. */
export class Tally {
  requests = 0;
  errors = 0;
  framesLost = 0;
  tokens = 0;
  /** Parts of bodies that contained a token. */
  pieces = 0;
  stalls = 0;
  readonly faults: string[] = [];
  readonly firstToken = new Samples();
  readonly total = new Samples();
  readonly gaps = new Samples();

  fail(fault: string, lost: number): void {
    this.errors++;
    this.framesLost += lost;
    if (this.faults.length < FAULTS_KEPT) this.faults.push(fault);
  }
}

/**
 * One simulated client: one connection of its own, kept alive, one request at a time. Each user has its own
 * client instead of a shared pool, because a pool searches its connections at every request, and because
 * waiting for a connection would measure the generator.
 */
export class User {
  readonly #client: Client;
  readonly #options: Dispatcher.DispatchOptions;
  readonly #nextBody: () => string | Buffer;
  readonly #expected: Expectation;
  readonly #stallMs: number;
  readonly #tally: Tally;

  constructor(
    spec: LoadSpec,
    expected: Expectation,
    tally: Tally,
    nextBody: () => string | Buffer,
  ) {
    this.#client = new Client(spec.origin, {
      headersTimeout: SILENCE_MS,
      bodyTimeout: SILENCE_MS,
      connectTimeout: SILENCE_MS,
    });
    this.#options = {
      path: spec.path,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: 'Bearer bench',
        ...spec.headers,
      },
    };
    this.#nextBody = nextBody;
    this.#expected = expected;
    this.#stallMs = spec.stallMs;
    this.#tally = tally;
  }

  /**
   * One request, to its end or its failure; never rejects, because failures are counted. Times count from
   * `dueAt`: a late generator must not make a system look faster.
   */
  request(dueAt = performance.now()): Promise<void> {
    return new Promise((resolve) => {
      const exchange = new Exchange(this.#expected, this.#stallMs, this.#tally, dueAt, resolve);
      try {
        this.#client.dispatch({ ...this.#options, body: this.#nextBody() }, exchange);
      } catch (error) {
        exchange.onResponseError(
          undefined,
          error instanceof Error ? error : new Error(String(error)),
        );
      }
    });
  }

  close(): Promise<void> {
    return this.#client.destroy();
  }
}

class Exchange implements Dispatcher.DispatchHandler {
  readonly #sentAt: number;
  readonly #tally: Tally;
  readonly #checker: FrameChecker;
  readonly #frames: number;
  readonly #end: () => void;
  #status = 0;
  #lastTokenAt = 0;
  #refusal = '';

  constructor(
    expected: Expectation,
    stallMs: number,
    tally: Tally,
    sentAt: number,
    end: () => void,
  ) {
    this.#sentAt = sentAt;
    this.#tally = tally;
    this.#frames = expected.tokens.length + FRAMING;
    this.#end = end;
    this.#checker = new FrameChecker(expected, (now) => this.#token(now, stallMs));
  }

  onRequestStart(): void {}

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.#status = status;
  }

  onResponseData(_controller: Dispatcher.DispatchController, bytes: Buffer): void {
    if (this.#status === 200) {
      const { tokens } = this.#tally;
      this.#checker.push(bytes, performance.now());
      if (this.#tally.tokens > tokens) this.#tally.pieces++;
    } else if (this.#refusal.length < 200) this.#refusal += bytes.toString().slice(0, 200);
  }

  onResponseEnd(): void {
    if (this.#status !== 200) {
      const refusal = this.#refusal.replaceAll(/\s+/g, ' ').trim();
      this.#tally.fail(`status ${this.#status}: ${refusal}`, this.#frames);
      return this.#end();
    }
    const { lost, fault } = this.#checker.verdict();
    if (fault === undefined) {
      this.#tally.requests++;
      this.#tally.total.add(performance.now() - this.#sentAt);
    } else {
      this.#tally.fail(fault, lost);
    }
    this.#end();
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#tally.fail(`${error.name}: ${error.message}`, this.#checker.verdict().lost);
    this.#end();
  }

  #token(now: number, stallMs: number): void {
    if (this.#lastTokenAt === 0) {
      this.#tally.firstToken.add(now - this.#sentAt);
    } else if (stallMs > 0) {
      const gap = now - this.#lastTokenAt;
      this.#tally.gaps.add(gap);
      if (gap > stallMs) this.#tally.stalls++;
    }
    this.#lastTokenAt = now;
    this.#tally.tokens++;
  }
}
