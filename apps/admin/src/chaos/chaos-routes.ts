import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '@millrace/shared/config';
import type { FleetProcess } from '@millrace/shared/store/fleet/port';
import type { FastifyInstance } from 'fastify';
import { AdminError } from '../api/admin-error.ts';
import { askRedis } from '../api/redis-answer.ts';
import { knownOnly } from '../api/parameters.ts';
import type { Query } from '../api/parameters.ts';
import { readChaos } from './body.ts';
import type { ChaosOrder } from './body.ts';
import { disturb, originsOf } from './simulators.ts';

export type ChaosOptions = {
  /** Of the config in use. */
  config(): Pick<Config, 'chaos' | 'providers'>;
  processes(): Promise<readonly FleetProcess[]>;
  /** Asks a worker to kill itself; whether it listens (store/fleet/kill.ts). */
  kill(worker: string, request: string | undefined): Promise<boolean>;
  /** The connection to Redis is up. */
  isReady(): boolean;
  onError(error: unknown): void;
};

/** Milliseconds in which a worker that kills itself is gone. */
const deathMs = 3000;
const lookEveryMs = 25;

/** `POST /admin/chaos`: breaks something on purpose, so that an operator can watch the fleet repair it. */
export function chaosRoutes(app: FastifyInstance, options: ChaosOptions): void {
  app.post<{ Querystring: Query }>('/admin/chaos', async ({ query, body }) => {
    knownOnly(query, []);
    if (!options.config().chaos) throw off();
    const order = readChaos(body);
    if (order.action === 'kill-worker') return { done: await killWorker(options, order) };
    return { done: await disturbAnswers(options, order) };
  });
}

async function killWorker(options: ChaosOptions, { action, worker, request }: ChaosOrder) {
  const { kill } = options;
  const workers = (await askRedis(options, () => options.processes())).filter(
    (one) => one.role === 'worker' && one.isListening,
  );
  const meant = workers.filter(({ name }) => worker === undefined || name === worker);
  if (meant.length === 0) throw noWorker(worker);
  // Only the worker that runs the request obeys.
  const asked = request === undefined ? [busiest(meant)] : meant;
  await askRedis(options, () => Promise.all(asked.map(({ name }) => kill(name, request))));
  const until = performance.now() + deathMs;
  for (;;) {
    const listed = await askRedis(options, () => options.processes());
    const isAlive = ({ name }: FleetProcess) =>
      listed.some((one) => one.name === name && one.isListening);
    const dead = asked.filter((one) => !isAlive(one));
    if (dead.length > 0) return dead.map(({ name }) => ({ action, worker: name }));
    if (performance.now() >= until) throw notKilled(request);
    await sleep(lookEveryMs);
  }
}

const busiest = (workers: readonly FleetProcess[]): FleetProcess =>
  workers.reduce((most, one) =>
    (one.counts['runs'] ?? 0) > (most.counts['runs'] ?? 0) ? one : most,
  );

async function disturbAnswers(
  { config, onError }: ChaosOptions,
  { action, provider, request }: ChaosOrder,
) {
  const { providers } = config();
  if (provider !== undefined && !Object.hasOwn(providers, provider)) throw noProvider(provider);
  const origins = originsOf(providers, provider);
  if (origins.length === 0) throw notSimulated(provider);
  const order = { action, ...(request !== undefined && { request }) };
  const results = await Promise.all(
    origins.map(async ({ origin, name }) => ({ name, ...(await disturb(origin, order)) })),
  );
  for (const { error } of results) if (error !== undefined) onError(error);
  const [only] = results;
  if (provider !== undefined && only && only.answers === undefined) throw notSimulated(provider);
  const done = results.flatMap(({ name, answers = [] }) =>
    answers.map((answer) => ({ action, provider: name, ...answer })),
  );
  if (request !== undefined && done.length === 0) throw notAnswered(request);
  return done;
}

const off = () =>
  new AdminError(
    403,
    'chaos_off',
    "This fleet is not to be broken: its config has no 'chaos: true'. npm start without a config has it.",
  );

const noWorker = (worker: string | undefined) =>
  new AdminError(
    404,
    'process_not_found',
    worker === undefined
      ? 'No worker listens.'
      : `No worker ${worker.slice(0, 100)} listens: GET /admin/fleet lists them.`,
  );

const notKilled = (request: string | undefined) =>
  new AdminError(
    409,
    'not_running',
    request === undefined
      ? "The worker did not kill itself: its own config has no 'chaos: true'."
      : `No worker with 'chaos: true' runs the request ${request.slice(0, 100)}.`,
  );

const noProvider = (provider: string) =>
  new AdminError(
    404,
    'provider_not_found',
    `The config has no provider '${provider.slice(0, 100)}'.`,
  );

const notSimulated = (provider: string | undefined) =>
  new AdminError(
    409,
    'not_simulated',
    provider === undefined
      ? "No provider of the config has 'simulated: true': only answers of simulated ones can be broken off."
      : `The provider '${provider.slice(0, 100)}' has no 'simulated: true' in the config, or no simulator answers there: only answers of simulated ones can be broken off.`,
  );

const notAnswered = (request: string) =>
  new AdminError(
    409,
    'not_running',
    `No simulated provider sends an answer to the request ${request.slice(0, 100)} at the moment.`,
  );
