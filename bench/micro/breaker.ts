/**
 * Measures how long it takes from one worker's opening of a breaker until another worker has it: two
 * processes over a real Redis, with the clock of the machine. Goal: 50 ms for 99 of 100.
 *
 *   node bench/micro/breaker.ts [rounds]
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRedisGossip } from '@millrace/shared/store/gossip/redis-gossip';
import { keyspace } from '@millrace/shared/store/keys';
import { connectRedis } from '@millrace/shared/store/redis';
import { createHealth } from '../../apps/worker/src/upstream/health/health.ts';
import { startRedis } from '../../test/kit/redis.ts';

const goalMs = 50;

type Known = { model: string; at: number };

/** Microseconds would do; a wall clock that both processes read. */
const clock = () => performance.timeOrigin + performance.now();

function startHealth(worker: string, url: string, onOpen: (known: Known) => void) {
  const connect = (role: 'command' | 'subscriber') => connectRedis(url, { name: worker, role });
  const redis = connect('command');
  const onError = (error: unknown) => process.stderr.write(`${String(error)}\n`);
  const health = createHealth({
    bus: createRedisGossip({
      keys: keyspace('bench'),
      owner: worker,
      redis,
      connect: () => connect('subscriber'),
      onError,
    }),
    worker,
    // The defaults of the config.
    breakerOf: () => ({
      enabled: true,
      windowMs: 30_000,
      calls: 20,
      errorRate: 10,
      failures: 5,
      probeIntervalMs: 1000,
      rampMs: 3000,
    }),
    onChange: ({ target, to }) => {
      if (to === 'open') onOpen({ model: target.model, at: clock() });
    },
    onError,
  });
  return {
    health,
    close() {
      health.close();
      redis.disconnect();
    },
  };
}

if (process.argv[2] === 'listener') await listen(process.argv[3] ?? '');
else await measure(Number(process.argv[2] ?? 200));

async function listen(url: string): Promise<void> {
  const { health, close } = startHealth('listener', url, (known) => process.send?.(known));
  process.on('disconnect', close);
  while (health.snapshot().workers < 2) await sleep(20);
  process.send?.('ready');
}

async function measure(rounds: number): Promise<void> {
  const server = await startRedis();
  const url = server.url;
  const openedAt = new Map<string, number>();
  const { health, close } = startHealth('teller', url, ({ model, at }) => openedAt.set(model, at));
  const listener = fork(import.meta.filename, ['listener', url]);
  try {
    await once(listener, 'message');
    const took: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const model = `model-${round}`;
      const known = nextKnown(listener, model);
      // A typical opening: calls in flight, then one failure after the other.
      const target = { provider: 'p', model };
      const calls = Array.from({ length: 5 }, () => health.started(target));
      await sleep(5 + Math.random() * 60);
      for (const tell of calls) {
        tell({ kind: 'fault', fault: { code: 'upstream_reset', message: '' } });
      }
      took.push((await known).at - (openedAt.get(model) ?? NaN));
    }
    report(took);
  } finally {
    listener.disconnect();
    close();
    await server.close();
  }
}

function nextKnown(listener: ChildProcess, model: string): Promise<Known> {
  return new Promise((resolve) => {
    const look = (known: Known) => {
      if (known.model !== model) return;
      listener.off('message', look);
      resolve(known);
    };
    listener.on('message', look);
  });
}

function report(took: number[]): void {
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? NaN;
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  process.stdout.write(
    `from one worker's opening to the other's knowledge, ${took.length} rounds: ` +
      `p50 ${ms(at(0.5))}  p99 ${ms(at(0.99))}  max ${ms(at(1))}  ` +
      `goal ${goalMs} ms: ${at(0.99) <= goalMs ? 'reached' : 'missed'}\n`,
  );
}
