import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./watchdog.sh', import.meta.url));

export type Watchdog = {
  /** The present processes: those that drain by themselves, and those that have to serve them until then. */
  watch(pids: { draining: readonly number[]; serving: readonly number[] }): void;
  /** Nothing is left to be ended. */
  stop(): Promise<void>;
};

/**
 * A process that ends the others should this one be killed: redis-server cannot notice that by
 * itself, and a role may hang. It costs a shell that sleeps; see watchdog.sh.
 */
export function startWatchdog({ drainMs }: { drainMs: number }): Watchdog {
  const child = spawn('/bin/sh', [script, String(Math.ceil(drainMs / 1000) + 1)], {
    stdio: ['pipe', 'ignore', 'inherit'],
    detached: true, // out of reach of what is sent to our process group
  });
  const gone = once(child, 'exit').catch(() => undefined);
  // Without it all still works, but for the case that we are killed.
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  return {
    watch({ draining, serving }) {
      if (child.stdin.writable) child.stdin.write(`${draining.join(' ')} / ${serving.join(' ')}\n`);
    },
    async stop() {
      child.kill('SIGKILL');
      if (child.pid !== undefined) await gone;
    },
  };
}
