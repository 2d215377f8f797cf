import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./watchdog.sh', import.meta.url));

export type Watchdog = {
  /** The current processes: those that drain by themselves, and those that have to serve them until then. */
  watch(pids: { draining: readonly number[]; serving: readonly number[] }): void;
  /** Ends the watchdog, because no process is left. */
  stop(): Promise<void>;
};

/**
 * A process that ends the others if this one is killed: redis-server cannot notice that itself, and a role
 * may hang. It costs a sleeping shell; see watchdog.sh.
 */
export function startWatchdog({ drainMs }: { drainMs: number }): Watchdog {
  const child = spawn('/bin/sh', [script, String(Math.ceil(drainMs / 1000) + 1)], {
    stdio: ['pipe', 'ignore', 'inherit'],
    detached: true, // out of reach of what is sent to our process group
  });
  const gone = once(child, 'exit').catch(() => undefined);
  // Without it everything works, except if this process is killed.
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
