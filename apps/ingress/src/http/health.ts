import type { FastifyInstance } from 'fastify';
import { pauseReason } from '@millrace/shared/queue/pause-watch';
import { strainWords } from '../door.ts';
import type { Services } from '../services.ts';

/** Milliseconds that Redis may take to answer before this ingress is not ready. */
const patienceMs = 1000;

export function healthRoutes(app: FastifyInstance, services: Services): void {
  app.get('/healthz', () => ({ status: 'ok' }));

  app.get('/readyz', async (_request, reply) => {
    const reasons = await whyNotReady(services);
    if (reasons.length > 0) reply.code(503);
    const notReady = services.leaving() ? 'draining' : 'not_ready';
    return { status: reasons.length === 0 ? 'ready' : notReady, reasons };
  });

  app.get('/metrics', async (_request, reply) => {
    const { contentType, text } = await services.metrics.render();
    return reply.header('content-type', contentType).send(text);
  });
}

async function whyNotReady(services: Services): Promise<string[]> {
  const { channels, leaving, ownLoad, queue, pingRedis } = services;
  const reasons: string[] = [];
  if (leaving()) reasons.push('this ingress is draining');
  const own = ownLoad.judge();
  if (own.kind === 'shed') {
    reasons.push(`this ingress takes no new work: ${strainWords[own.reason]}`);
  }
  const asked = Promise.all([channels.countWorkers(), queue.pausedShards()]);
  const seen = await inTime(pingRedis().then(() => asked));
  if (!seen) return [...reasons, `redis did not answer within ${patienceMs} ms`];
  const [workers, paused] = seen;
  if (workers === 0) reasons.push('no worker is present');
  const pause = pauseReason(paused);
  if (pause !== undefined) reasons.push(pause);
  return reasons;
}

async function inTime<T>(work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), patienceMs);
  });
  try {
    return await Promise.race([work, late]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
    work.catch(() => {});
  }
}
