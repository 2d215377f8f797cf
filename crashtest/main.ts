import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asExpected } from './case.ts';
import { parseOptions, USAGE } from './options.ts';
import type { Options } from './options.ts';
import { runCases } from './run.ts';
import { list, scorecard, toJson, totals } from './scorecard.ts';

const RESULTS = fileURLToPath(new URL('results', import.meta.url));

async function crashtest(options: Options, signal: AbortSignal): Promise<number> {
  const startedAt = new Date();
  const { profile, target, notRun } = options;
  const results = await runCases(options, signal);
  const took = ((Date.now() - startedAt.getTime()) / 1000).toFixed(0);
  const file = options.json ?? join(RESULTS, `${stampOf(startedAt)}-${profile}.json`);
  const about = {
    startedAt: startedAt.toISOString(),
    seconds: Number(took),
    profile,
    target: target?.baseUrl ?? 'millrace',
    node: process.version,
  };
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, toJson(results, notRun, about));
  process.stdout.write(
    `${scorecard(results, notRun)}\n\nwritten to ${file}, after ${took} s\n${totals(results, notRun)}\n`,
  );
  return results.every(({ crashCase, outcome }) => asExpected(crashCase, outcome)) ? 0 : 1;
}

const stampOf = (date: Date): string => date.toISOString().slice(0, 19).replaceAll(':', '-');

async function main(): Promise<number> {
  let options: ReturnType<typeof parseOptions>;
  try {
    options = parseOptions(process.argv.slice(2), process.env);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  if ('list' in options) {
    process.stdout.write(list(options.list));
    return 0;
  }
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => interrupted.abort(new Error(`ended by ${name}`)));
  }
  try {
    return await crashtest(options, interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted) {
      process.stderr.write(`${String(interrupted.signal.reason)}\n`);
      return 130;
    }
    process.stderr.write(
      `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    return 1;
  }
}

process.exitCode = await main();
