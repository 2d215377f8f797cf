import { setTimeout as sleep } from 'node:timers/promises';
import type { Checked, Config, Finding } from '@millrace/shared/config';
import type { ProcessConfig } from '@millrace/shared/store/process-configs';
import { withTimeout } from '@millrace/shared/runtime/timeout';
import type { FastifyInstance } from 'fastify';
import { AdminError, badField } from './admin-error.ts';
import { configDiff } from './config-diff.ts';
import { knownOnly } from './parameters.ts';
import type { Query } from './parameters.ts';
import { redacted } from './redacted-config.ts';

export type ConfigRoutesOptions = {
  /** The config that the control plane uses. */
  config(): Config;
  /** Checks a text as the config file of this process, without values of its environment. */
  check(text: string): Checked;
  /** How each process of the fleet stands to its config file. */
  processes(): Promise<readonly ProcessConfig[]>;
  /** Asks all processes to read it again; resolves with the number of the order. */
  order(): Promise<number>;
};

/** Milliseconds that processes have to carry out an order before the answer is sent. */
const patienceMs = 5000;
const lookEveryMs = 100;
/** Milliseconds that Redis has for one answer. */
const answerMs = 2000;

/** `GET /admin/config`, `POST /admin/config/reload` and `POST /admin/config/check`. */
export function configRoutes(app: FastifyInstance, options: ConfigRoutesOptions): void {
  const { config } = options;
  const processes = () => answered(options.processes());
  const order = () => answered(options.order());

  app.get<{ Querystring: Query }>('/admin/config', async ({ query }) => {
    knownOnly(query, []);
    return { ...fleetView(await processes()), config: redacted(config()) };
  });

  app.post('/admin/config/reload', async () => {
    const number = await order();
    const until = performance.now() + patienceMs;
    const isPending = (one: ProcessConfig) => one.order < number;
    let found = await processes();
    while (found.some(isPending) && performance.now() < until) {
      await sleep(lookEveryMs);
      found = await processes();
    }
    return { ...fleetView(found), pending: found.filter(isPending).map(({ name }) => name) };
  });

  // A scope of its own: other routes take no YAML.
  void app.register(async (scope) => {
    scope.removeContentTypeParser('text/plain');
    scope.addContentTypeParser(
      ['text/yaml', 'application/yaml', 'application/x-yaml'],
      { parseAs: 'string', bodyLimit: maxConfigBytes },
      (_request, body, done) => done(null, body),
    );
    scope.post<{ Querystring: Query }>('/admin/config/check', async ({ query, body }) => {
      knownOnly(query, []);
      if (typeof body !== 'string') {
        throw badField('', 'expected the text of a config file, with content-type: text/yaml');
      }
      return checkView(options.check(body));
    });
  });
}

const maxConfigBytes = 1 << 20;

/** What is wrong with a text, and what it would change. Nothing is taken over. */
function checkView({ problems, warnings, change }: Checked) {
  const found = { problems: problems.map(findingView), warnings: warnings.map(findingView) };
  return change ? { ...found, ...configDiff(change) } : { ...found, diff: [], truncated: false };
}

const findingView = ({ line, field, message }: Finding) => ({ line, field, message });

/** Rejects with a 503 if Redis does not answer. */
const answered = <T>(asked: Promise<T>): Promise<T> => {
  const silent = new AdminError(
    503,
    'queue_unavailable',
    'Redis does not answer. All processes keep the config that they use.',
  );
  return withTimeout(asked, answerMs, () => silent).catch(() => {
    throw silent;
  });
};

function fleetView(found: readonly ProcessConfig[]) {
  const hashes = new Set(found.map(({ hash }) => hash));
  return {
    /** All processes use the same config, and none refuses its file. */
    agreed: hashes.size <= 1 && found.every(({ problems }) => problems.length === 0),
    processes: found.map((one) => ({
      name: one.name,
      role: one.role,
      hash: one.hash,
      since: one.since / 1000,
      needs_restart: one.needsRestart,
      problems: one.problems,
      refused_at: one.refusedAt === undefined ? null : one.refusedAt / 1000,
      reported_at: one.at / 1000,
    })),
  };
}
