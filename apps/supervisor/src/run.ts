import {
  createLifecycle,
  exitOnBug,
  onReload,
  onSignals,
} from '@millrace/shared/runtime/lifecycle';
import { createLogger } from '@millrace/shared/runtime/logger';
import { DataFolderRefused, openDataFolder, type DataFolder } from './data-folder.ts';
import { createFleet, FleetStopping } from './fleet.ts';
import { start, type Programs } from './start.ts';
import { readStartSettings } from './start-settings.ts';
import { StartFailed } from './supervise.ts';

/**
 * Milliseconds to wait after kill(), which usually ends all processes at once; after that the supervisor
 * exits anyway.
 */
const killPatienceMs = 1000;

/**
 * Runs `npm start`: starts the fleet, keeps it running, and on a signal stops it and exits. Exit codes: 0
 * after a drain, 128+n after a second signal, 78 for an invalid configuration, otherwise that of the process
 * that could not start.
 */
export async function run({
  argv,
  env,
  programs,
}: {
  argv: readonly string[];
  env: NodeJS.ProcessEnv;
  programs: Programs;
}): Promise<void> {
  const settings = await readStartSettings(argv, env);
  const log = createLogger({ name: 'supervisor' });
  const lifecycle = createLifecycle((stage) => log.info({ stage }));
  const fleet = createFleet({
    log,
    drainMs: settings.drainTimeoutMs,
    drainDelayMs: settings.drainDelayMs,
  });
  let folder: DataFolder | undefined;
  exitOnBug(log);
  // The reader of this output may exit before this process.
  process.stdout.on('error', () => undefined);

  const leave = async (code: number) => {
    await fleet.stop();
    lifecycle.advance('stopped');
    folder?.release();
    process.exit(code);
  };
  onReload(fleet.reloadConfig);
  onSignals({
    log,
    onDrain: async () => {
      lifecycle.advance('draining');
      await leave(0);
    },
    exitNow: (code) => {
      setTimeout(() => process.exit(code), killPatienceMs);
      void fleet.kill().finally(() => process.exit(code));
    },
  });

  try {
    const openFolder = () => (folder = openDataFolder(settings.options.dataDir));
    const print = (text: string) => process.stdout.write(text);
    await start({ settings, programs, env, fleet, openFolder, log, print });
    lifecycle.advance('serving');
  } catch (error) {
    if (error instanceof FleetStopping || lifecycle.stage !== 'starting') return;
    if (!(error instanceof StartFailed) && !(error instanceof DataFolderRefused)) throw error;
    process.stderr.write(`millrace: ${error.message}\n`);
    await leave(error instanceof StartFailed ? error.exitCode : 1);
  }
}
