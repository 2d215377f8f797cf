/**
 * The load generator, a process of its own so that its CPU is told apart from the systems'. It is
 * forked with an IPC channel, takes one `LoadSpec` at a time and answers with its `LoadResult`; it
 * ends when the channel does.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expectTokens } from './frames.ts';
import type { Arrival, GeneratorMessage, LoadResult, LoadSpec } from './spec.ts';
import { Tally, User } from './user.ts';

async function run(spec: LoadSpec): Promise<LoadResult> {
  const tally = new Tally();
  const expected = expectTokens(spec.tokens);
  const { arrival } = spec;
  const size = arrival.kind === 'closed' ? arrival.concurrency : arrival.streams;
  const users = Array.from({ length: size }, () => new User(spec, expected, tally));
  const startedAt = performance.now();
  if (arrival.kind === 'closed') await closed(users, arrival, startedAt);
  else await ramp(users, arrival.rampMs);
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

async function ramp(users: User[], rampMs: number): Promise<void> {
  const startedAt = performance.now();
  const open: Promise<void>[] = [];
  while (open.length < users.length) {
    const due = Math.ceil(((performance.now() - startedAt) / rampMs) * users.length);
    for (const user of users.slice(open.length, Math.min(due, users.length)))
      open.push(user.request());
    await sleep(1);
  }
  await Promise.all(open);
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
