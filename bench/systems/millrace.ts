import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startChild } from '../../test/kit/child.ts';
import { freePort } from '../ports.ts';
import { redisUrlBelow } from '../redis.ts';
import { MODELS, type StartOptions, type System } from './system.ts';

const SUPERVISOR = fileURLToPath(new URL('../../apps/supervisor/src/main.ts', import.meta.url));

/**
 * One ingress, one worker and the embedded Redis, with the defaults of an installation: the config names the
 * provider and the models, and nothing else.
 */
export const startMillrace = (
  upstream: string,
  signal: AbortSignal,
  options: StartOptions,
): Promise<System> => startMillraceWith(configFor(upstream, options), signal);

/** The same without a ledger: the difference is what the ledger costs. */
export const startWithoutLedger = async (
  upstream: string,
  signal: AbortSignal,
  options: StartOptions,
): Promise<System> => {
  const config = `${configFor(upstream, options)}database: { url: none }\n`;
  return { ...(await startMillraceWith(config, signal)), name: 'unledgered' };
};

/**
 * The same with telemetry, of every request or of a tenth of them, to a collector in a process of its own: the difference is
 * what telemetry costs.
 */
export async function startTraced(
  upstream: string,
  signal: AbortSignal,
  { name, sample, ...options }: StartOptions & { name: 'traced' | 'sampled'; sample: number },
): Promise<System> {
  const collector = await startChild({
    name: 'collector',
    command: process.execPath,
    args: [fileURLToPath(new URL('collector.ts', import.meta.url))],
    ready: /^collector ready (http:\S+)/,
    ipc: true,
    signal,
  });
  try {
    const telemetry = `telemetry: { otlp: "${collector.ready[1]}", sample: ${sample} }\n`;
    const config = `${configFor(upstream, options)}${telemetry}`;
    const system = await startMillraceWith(config, signal);
    const stop = async () => {
      await system.stop();
      await collector.stop();
    };
    return { ...system, name, stop };
  } catch (error) {
    await collector.stop();
    throw error;
  }
}

/** Starts Millrace with another config file. */
export async function startMillraceWith(content: string, signal: AbortSignal): Promise<System> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
  const config = join(folder, 'bench.yaml');
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  await writeFile(config, content);
  const flags = {
    workers: '1',
    ingresses: '1',
    port: String(await freePort()),
    data: join(folder, 'data'),
    config,
  };
  try {
    const { pid, ready, stop } = await startChild({
      name: 'millrace',
      command: process.execPath,
      args: [SUPERVISOR, ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value])],
      env: withoutOurs(process.env),
      ready: /^millrace ready (https?:\/\/\S+)/,
      readyMs: 30_000,
      signal,
    });
    return {
      name: 'millrace',
      origin: ready[1] ?? '',
      pid,
      headers: {},
      models: { burst: 'burst', paced: 'paced', middling: 'middling', long: 'long' },
      redis: { url: await redisUrlBelow(pid) },
      stop: async () => {
        await stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

function configFor(upstream: string, { manyStreams = false }: StartOptions): string {
  const pool = manyStreams ? `, pool: { connections: ${MANY} }` : '';
  const limits = manyStreams ? `limits: { workerConcurrency: ${MANY} }\n` : '';
  const models = Object.entries(MODELS).map(
    ([name, model]) => `  ${name}: { targets: [{ provider: bench, model: "${model}" }] }\n`,
  );
  return `listen: { host: 127.0.0.1 }
providers:
  bench: { api: openai, baseUrl: "${upstream}/v1", apiKey: bench${pool} }
models:
${models.join('')}${limits}`;
}

/** More streams than any run of the bench has at a time. */
const MANY = 8_192;

/** The environment without Millrace's variables, which would override the config above. */
function withoutOurs(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const ours = /^(MILLRACE_.*|PORT|HOST|REDIS_URL|DATABASE_URL)$/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !ours.test(name)));
}
