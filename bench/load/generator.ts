/**
 * The load generator, in a separate process so that its CPU does not count as the systems'. It is forked with
 * an IPC channel, takes one `LoadSpec` at a time and answers with its `LoadResult`; it exits when the channel
 * closes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { agentBodies } from './agents.ts';
import { expectTokens } from './frames.ts';
import type { Arrival, GeneratorMessage, LoadResult, LoadSpec } from './spec.ts';
import { Tally, User } from './user.ts';

async function run(spec: LoadSpec): Promise<LoadResult> {
  const tally = new Tally();
  const expected = expectTokens(spec.tokens);
  const { arrival } = spec;
  const nextBody = bodiesOf(spec);
  const users: User[] = [];
  const join = (): User => {
    const user = new User(spec, expected, tally, nextBody);
    users.push(user);
    return user;
  };
  if (arrival.kind === 'closed') while (users.length < arrival.concurrency) join();
  if (arrival.kind === 'ramp') while (users.length < arrival.streams) join();
  const startedAt = performance.now();
  if (arrival.kind === 'closed') await closed(users, arrival, startedAt);
  else if (arrival.kind === 'ramp') await ramp(users, arrival.rampMs);
  else await open(arrival, join, tally);
  const elapsedMs = performance.now() - startedAt;
  await Promise.all(users.map((user) => user.close()));
  return {
    elapsedMs,
    requests: tally.requests,
    errors: tally.errors,
    faults: tally.faults,
    framesLost: tally.framesLost,
    tokens: tally.tokens,
    pieces: tally.pieces,
    stalls: tally.stalls,
    firstToken: tally.firstToken.summary(),
    total: tally.total.summary(),
    gaps: tally.gaps.summary(),
  };
}

async function closed(
  users: User[],
  { maxRequests, maxMs }: Extract<Arrival, { kind: 'closed' }>,
  startedAt: number,
): Promise<void> {
  let left = maxRequests;
  await Promise.all(
    users.map(async (user) => {
      while (left > 0 && performance.now() - startedAt < maxMs) {
        left--;
        await user.request();
      }
    }),
  );
}

/** The most open requests, so that a system that does not keep up does not overload the machine. */
const MOST_OPEN = 2_000;

/** Ends with the last answer. A user that is free again takes the next request. */
async function open(
  { perSecond, ms }: Extract<Arrival, { kind: 'open' }>,
  join: () => User,
  tally: Tally,
): Promise<void> {
  const startedAt = performance.now();
  const free: User[] = [];
  const requests: Promise<void>[] = [];
  let underWay = 0;
  const request = async (user: User, dueAt: number): Promise<void> => {
    await user.request(dueAt);
    underWay--;
    free.push(user);
  };
  const total = Math.floor((perSecond * ms) / 1_000);
  for (let sent = 0; sent < total; await sleep(1)) {
    const due = Math.min(total, Math.ceil(((performance.now() - startedAt) / 1_000) * perSecond));
    for (; sent < due; sent++) {
      if (underWay === MOST_OPEN) {
        tally.fail(`not sent: ${MOST_OPEN} requests are open`, 0);
        continue;
      }
      const user = free.pop() ?? join();
      underWay++;
      const dueAt = startedAt + (sent / perSecond) * 1_000;
      requests.push(request(user, dueAt));
    }
  }
  await Promise.all(requests);
}

/** The same bodies in the same order for every system; made before the measurement. */
function bodiesOf({ body, model }: LoadSpec): () => string | Buffer {
  if (body === 'agents') {
    const at = agentBodies(model);
    let index = 0;
    return () => at(index++);
  }
  const messages = [{ role: 'user', content: 'Count, please.' }];
  const short = JSON.stringify({ model, stream: true, messages });
  return () => short;
}

async function ramp(users: User[], rampMs: number): Promise<void> {
  const startedAt = performance.now();
  const streams: Promise<void>[] = [];
  while (streams.length < users.length) {
    const due = Math.ceil(((performance.now() - startedAt) / rampMs) * users.length);
    for (const user of users.slice(streams.length, Math.min(due, users.length)))
      streams.push(user.request());
    await sleep(1);
  }
  await Promise.all(streams);
}

function report(message: GeneratorMessage): void {
  process.send?.(message);
}

// ^C goes to the whole group; the parent decides when this process ends, by closing the channel.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));
process.on('message', (spec: LoadSpec) => {
  run(spec).then(
    (result) => report({ type: 'result', result }),
    (error: unknown) => report({ type: 'failed', message: String(error) }),
  );
});
report({ type: 'ready' });
