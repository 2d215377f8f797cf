import type { FastifyInstance } from 'fastify';
import type { FleetProcess } from '@millrace/shared/store/fleet/port';
import { pauseReason } from '@millrace/shared/store/queue/pause-watch';
import { overloadMessages } from '../admission/controller.ts';
import type { Services } from '../services.ts';
import { ofAny } from './openapi/error-groups.ts';
import { ref } from './openapi/operation.ts';
import type { Operation, Schema } from './openapi/operation.ts';

const common = { tag: 'Fleet', access: 'none', errors: ofAny } as const;

export const healthSchemas: Readonly<Record<string, Schema>> = {
  Readiness: {
    type: 'object',
    properties: {
      status: { enum: ['ready', 'draining', 'not_ready'] },
      reasons: { type: 'array', items: { type: 'string' } },
    },
    required: ['status', 'reasons'],
  },
};

const aliveOperation: Operation = {
  ...common,
  summary: 'Liveness',
  answers: {
    '200': {
      description: 'The process runs.',
      content: {
        'application/json': {
          type: 'object',
          properties: { status: { const: 'ok' } },
          required: ['status'],
        },
      },
    },
  },
};

const readyOperation: Operation = {
  ...common,
  summary: 'Readiness',
  answers: {
    '200': {
      description: 'This server takes requests.',
      content: { 'application/json': ref('Readiness') },
    },
    '503': {
      description: 'It takes none, for these reasons.',
      content: { 'application/json': ref('Readiness') },
    },
  },
};

const metricsOperation: Operation = {
  ...common,
  summary: 'Metrics of this server and of all workers',
  answers: {
    '200': {
      description: 'In the text format of Prometheus.',
      content: { 'text/plain': { type: 'string' } },
    },
  },
};

/** Milliseconds in which Redis has to answer; otherwise this ingress is not ready. */
const patienceMs = 1000;

export function healthRoutes(app: FastifyInstance, services: Services): void {
  app.get('/healthz', { config: { operation: aliveOperation } }, () => ({ status: 'ok' }));

  app.get('/readyz', { config: { operation: readyOperation } }, async (_request, reply) => {
    const reasons = await whyNotReady(services);
    if (reasons.length > 0) reply.code(503);
    const notReady = services.leaving() ? 'draining' : 'not_ready';
    return { status: reasons.length === 0 ? 'ready' : notReady, reasons };
  });

  app.get('/metrics', { config: { operation: metricsOperation } }, async (_request, reply) => {
    const { contentType, text } = await services.metrics.render();
    return reply.header('content-type', contentType).send(text);
  });
}

async function whyNotReady(services: Services): Promise<string[]> {
  const { channels, leaving, overloadMonitor, processes, queue, pingRedis } = services;
  const reasons: string[] = [];
  if (leaving()) reasons.push('this ingress is draining');
  const own = overloadMonitor.judge();
  if (own.kind === 'shed') {
    reasons.push(`this ingress takes no new work: ${overloadMessages[own.reason]}`);
  }
  // One promise for all of them, because a rejection that is not awaited would end the process.
  const asked = Promise.all([
    channels.countWorkers(),
    queue.pausedShards(),
    processes(),
    pingRedis(),
  ]);
  const seen = await inTime(asked);
  if (seen.kind === 'late') return [...reasons, `redis did not answer within ${patienceMs} ms`];
  if (seen.kind === 'refused') return [...reasons, `redis refuses commands: ${seen.code}`];
  const [workers, paused, fleet] = seen.value;
  if (workers === 0) reasons.push('no worker is present');
  else if (areAllDrained(fleet)) reasons.push('every worker is drained: no worker takes requests');
  const pause = pauseReason(paused);
  if (pause !== undefined) reasons.push(pause);
  return reasons;
}

/** Whether operators have drained the workers, or the last of them stop. A worker announces a change at once. */
function areAllDrained(processes: readonly FleetProcess[]): boolean {
  const workers = processes.filter(({ role, isListening }) => role === 'worker' && isListening);
  return workers.length > 0 && workers.every(({ stage }) => stage !== 'serving');
}

/** `code`: the first word of Redis' error message, such as MISCONF or LOADING. */
type Seen<T> = { kind: 'seen'; value: T } | { kind: 'late' } | { kind: 'refused'; code: string };

async function inTime<T>(work: Promise<T>): Promise<Seen<T>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Seen<T>>((resolve) => {
    timer = setTimeout(() => resolve({ kind: 'late' }), patienceMs);
  });
  try {
    return await Promise.race([work.then((value) => ({ kind: 'seen', value }) as const), late]);
  } catch (error) {
    const code = error instanceof Error ? /^[A-Z]+(?= )/.exec(error.message)?.[0] : undefined;
    return code === undefined ? { kind: 'late' } : { kind: 'refused', code };
  } finally {
    clearTimeout(timer);
    work.catch(() => {});
  }
}
