import { encodeEntry, isTerminalLine, logStart } from '@millrace/shared/domain/entry';
import type { JobData } from '@millrace/shared/domain/request';
import { newRequestId } from '@millrace/shared/domain/request';
import { createMemoryLog } from '@millrace/shared/store/stream-log/memory-log';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import type { Activation, ActivationOutcome } from '@millrace/shared/store/queue/port';
import { vi } from 'vitest';
import { createRelay } from '../../apps/ingress/src/delivery/relay.ts';
import { createAppender } from '../../apps/worker/src/run/appender.ts';
import { unlimited } from '../../apps/worker/src/quota/settlement.fixture.ts';
import { uncounted } from '../../apps/worker/src/observe/metrics.fixture.ts';
import { run } from '../../apps/worker/src/run/run.ts';
import type { StopReason } from '../../apps/worker/src/run/port.ts';
import { openTargets } from '../../apps/worker/src/upstream/target-access.fixture.ts';
import { openReader } from './reader.ts';
import type { Given } from './reader.ts';
import type { Op, Scenario } from './scenario.ts';
import { createUpstreams, timeoutMs } from './upstreams.ts';
import type { Call } from './upstreams.ts';

/** Everything that can go on without another event has gone on. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const idle = async () => {
  for (let i = 0; i < 4; i++) await turn();
};

/** A worker process with the one run that it has. */
type Worker = {
  /** Killed: nothing of it happens any more. */
  dead: boolean;
  calls: Call[];
  outcome: ActivationOutcome | undefined;
  stop(reason: StopReason): void;
  loseLock(): void;
  /** What the next append does. */
  next: 'fails' | 'loses its answer' | 'lags' | undefined;
};

const never = new Promise<never>(() => {});
const inbox = 'in-1';

/** Rounds after which an example that has not ended hangs. */
const maxRounds = 3000;

/** The state of one example, and what each step does to it. */
export class World {
  readonly readers: Given[] = [];
  readonly workers: Worker[] = [];
  readonly errors: unknown[] = [];
  readonly calls: Call[];
  takeovers = 0;
  /** Simulated milliseconds in which the test fed nobody. */
  waited = 0;
  readonly #scenario: Scenario;
  readonly #upstreams: ReturnType<typeof createUpstreams>;
  readonly #memory = createMemoryLog();
  readonly #id = newRequestId(0, Date.now());
  readonly #data: JobData;
  readonly #body: string;
  readonly #relay = createRelay({
    log: this.#memory.log,
    onUnread: () => {},
    onError: (error) => this.errors.push(error),
  });
  #activations = 0;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#upstreams = createUpstreams(scenario);
    this.calls = this.#upstreams.calls;
    this.#body = JSON.stringify(requestOf(scenario));
    this.#data = {
      model: 'm',
      endpoint: '/v1/chat/completions',
      stream: true,
      reader: scenario.reader,
      attached: false,
      targets: scenario.targets.map((_, i) => ({ provider: `p${i}`, model: `m${i}` })),
      createdAt: Date.now(),
      continuation: scenario.continuation,
    };
  }

  async open(): Promise<void> {
    const { model, endpoint, stream, reader, attached, createdAt } = this.#data;
    await this.#memory.channels.openInbox(inbox, this.#relay);
    const what = { id: this.#id, model, endpoint, stream, reader, attached, createdAt };
    const meta = { ...what, includeUsage: true };
    await this.#memory.submit(newRequest(meta, { body: this.#body, inbox }));
    this.readers.push(openReader(this.#relay, this.#id, this.#scenario.reader, logStart));
    this.#activate();
    await idle();
  }

  /** One more activation of the job, on a worker of its own. */
  #activate(number = (this.#activations += 1)): void {
    const { mayFail, worker } = this.#newWorker();
    const controller = new AbortController();
    worker.loseLock = () => controller.abort();
    const activation: Activation = {
      id: this.#id,
      number,
      data: this.#data,
      token: `token-${number}`,
      lockLost: controller.signal,
    };
    const log = mayFail(this.#memory.log);
    const { jitter, maxHeldBytes, targets, onSlow, holdToolCalls } = this.#scenario;
    const running = run(activation, {
      log,
      appender: createAppender({ log, maxHeldBytes, onError: () => {} }),
      worker: `w${this.workers.length}`,
      metrics: uncounted,
      settlement: unlimited,
      hasLedger: false,
      maxHeldChars: 1e9,
      maxLogChars: 1e9,
      onError: (error) => this.errors.push(error),
      policy: () => ({ continuation: 'auto', onSlowFirstToken: onSlow, holdToolCalls, timeoutMs }),
      routes: (wanted) => wanted.map((one, i) => ({ ...one, prefill: targets[i] ?? false })),
      openTargets,
      call: (options) => {
        const attempt = worker.dead ? { ...inert, outcome: never } : this.#upstreams.call(options);
        const call = this.calls.at(-1);
        if (!worker.dead && call) worker.calls.push(call);
        return attempt;
      },
      mayHedge: () => true,
      returnHedge() {},
      register: (_, { stop }) => {
        worker.stop = stop;
        return () => {};
      },
      now: Date.now,
      random: () => jitter,
      timesLate: () => 0,
    });
    this.#watch(worker, running).catch((error: unknown) => this.errors.push(error));
  }

  async #watch(worker: Worker, running: Promise<ActivationOutcome>): Promise<void> {
    worker.outcome = await running;
    // The queue gives it to another one.
    if (worker.outcome.kind === 'handed_back') this.#activate();
  }

  #newWorker() {
    const worker: Worker = {
      dead: false,
      calls: [],
      outcome: undefined,
      stop: () => {},
      loseLock: () => {},
      next: undefined,
    };
    this.workers.push(worker);
    const mayFail = (log: StreamLog): StreamLog => ({
      ...log,
      seal: (...args) => (worker.dead ? never : log.seal(...args)),
      read: (...args) => (worker.dead ? never : log.read(...args)),
      async append(shard, items) {
        const how = worker.next;
        worker.next = undefined;
        if (how === 'fails') throw new Error('not sent');
        if (how === 'lags') await new Promise((resolve) => setTimeout(resolve, 30));
        if (worker.dead) return never;
        const outcomes = await log.append(shard, items);
        if (how === 'loses its answer') throw new Error('the answer was lost');
        return worker.dead ? never : outcomes;
      },
    });
    return { worker, mayFail };
  }

  /** When the request came, in simulated milliseconds. */
  get createdAt(): number {
    return this.#data.createdAt;
  }

  get ended(): boolean {
    return this.readers[0]?.lines.some(({ text }) => isTerminalLine(text)) ?? false;
  }

  get #current(): Worker | undefined {
    return this.workers.at(-1);
  }

  get #running(): Worker[] {
    return this.workers.filter(({ dead, outcome }) => !dead && !outcome);
  }

  #ready(): Call[] {
    return this.#running.flatMap(({ calls }) => calls.filter(({ ready }) => ready));
  }

  async take(op: Op): Promise<void> {
    switch (op.do) {
      case 'feed': {
        const ready = this.#ready();
        ready[op.call % Math.max(1, ready.length)]?.feed(op.packets);
        for (let i = 0; i < op.turns; i++) await turn();
        return;
      }
      case 'wait':
        vi.advanceTimersByTime(op.ms);
        this.waited += op.ms;
        break;
      case 'append':
        if (this.#current) this.#current.next = op.how;
        return;
      case 'take over':
        this.#takeOver(op.why);
        break;
      case 'read': {
        const lines = this.readers[0]?.lines ?? [];
        const after = lines[Math.floor(op.from * (lines.length - 1))];
        if (after && !isTerminalLine(after.text)) {
          this.readers.push(openReader(this.#relay, this.#id, this.#scenario.reader, after));
        }
        break;
      }
      case 'cancel': {
        const data = { reason: 'a test', at: Date.now() };
        await this.#memory.log.finish(
          this.#id,
          encodeEntry({ kind: 'cancelled', data }),
          'cancelled',
        );
        break;
      }
    }
    await idle();
  }

  #takeOver(why: Extract<Op, { do: 'take over' }>['why']): void {
    const current = this.#current;
    if (!current || current.outcome) return;
    this.takeovers += 1;
    if (why === 'shutdown') {
      current.stop('shutdown');
      return;
    }
    if (why === 'killed') this.#kill(current);
    if (why === 'lock lost') current.loseLock();
    if (why !== 'twice') {
      this.#activate();
      return;
    }
    // Two activations, and the later one is first at the log.
    const earlier = (this.#activations += 1);
    this.#activate();
    this.#activate(earlier);
  }

  #kill(worker: Worker): void {
    worker.dead = true;
    for (const call of worker.calls) call.closed = true;
  }

  /** Everything on its way comes, until every run has ended. */
  async finish(): Promise<void> {
    for (let round = 0; round < maxRounds; round++) {
      await idle();
      if (this.#running.length === 0 && this.ended) {
        // The time that a whole answer's response may take to end.
        vi.advanceTimersByTime(2000);
        return;
      }
      const ready = this.#ready();
      const call = ready[round % Math.max(1, ready.length)];
      if (call) call.feed(25);
      else if (vi.getTimerCount() > 0) vi.advanceTimersToNextTimer();
      else if (this.#running.length === 0) this.#activate();
    }
    throw new Error('it hangs');
  }
}

const inert = {
  firstTokenAt: undefined,
  heldBytes: 0,
  stop: () => {},
  pause: () => {},
  resume: () => {},
};

function requestOf({ request, answer, logprobs }: Scenario): object {
  const messages = [{ role: 'user', content: 'Say something.' }];
  if (request.endsWithAssistant) messages.push({ role: 'assistant', content: 'Well,' });
  return {
    model: 'm',
    stream: true,
    messages,
    ...(request.tools && { tools: [{ type: 'function', function: { name: 'weigh' } }] }),
    ...(request.json && { response_format: { type: 'json_object' } }),
    ...(request.repeats && { temperature: 0 }),
    ...(answer.length > 1 && { n: answer.length }),
    ...(logprobs && { logprobs: true }),
  };
}
