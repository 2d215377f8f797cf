import { encodeEntry } from '@millrace/shared/domain/entry';
import type { MoveAnswer } from '@millrace/shared/domain/inquiry';
import { parseRequestId } from '@millrace/shared/domain/request';
import type { Target } from '@millrace/shared/domain/request';
import type { Asked, Inquiries } from '@millrace/shared/store/inquiries/port';
import type { Described, StreamLog } from '@millrace/shared/store/stream-log/port';
import type { TimedLog } from '@millrace/shared/store/stream-log/timed-log';
import type { FastifyInstance } from 'fastify';
import { readersView } from '../live/readers.ts';
import { AdminError, badField } from './admin-error.ts';
import { knownOnly } from './parameters.ts';
import type { Query } from './parameters.ts';
import { askRedis } from './redis-answer.ts';
import { notFound } from './request-routes.ts';

export type OrderSource = {
  log: Pick<StreamLog, 'describe' | 'finish'>;
  timedLog: TimedLog;
  inquiries: Inquiries;
  /** Frees the place that the request has in the limit of concurrent requests of its key. */
  release(keyId: string, id: string): Promise<void>;
  /** Removes a waiting job from the queue. */
  removeJob(id: string): Promise<unknown>;
  isReady(): boolean;
  onError(error: unknown): void;
};

type RequestRoute = { Params: { id: string }; Querystring: Query };

/** `GET /admin/requests/{id}/readers`, and the orders `POST …/cancel` and `…/move`. */
export function requestOrders(app: FastifyInstance, source: OrderSource): void {
  const { log, timedLog, inquiries } = source;

  async function find(id: string): Promise<Described> {
    if (!parseRequestId(id)) throw notFound(id);
    const described = await askRedis(source, () => log.describe(id));
    if (!described) throw notFound(id);
    return described;
  }

  app.get<RequestRoute>('/admin/requests/:id/readers', async ({ params: { id }, query }) => {
    knownOnly(query, []);
    await find(id);
    return askRedis(source, async () => {
      const asked = await inquiries.ask('ingress', { kind: 'readers', id });
      // After the answers: what readers have got is in the log.
      const { last } = (await log.describe(id)) ?? (await find(id));
      return readersView(asked, { id, last, log: timedLog });
    });
  });

  app.post<RequestRoute>('/admin/requests/:id/cancel', async ({ params: { id }, query }) => {
    knownOnly(query, []);
    const { meta } = await find(id);
    const data = { reason: 'cancelled by an operator', at: Date.now() };
    const line = encodeEntry({ kind: 'cancelled', data });
    const ended = await askRedis(source, () => log.finish(id, line, 'cancelled'));
    if (ended.kind === 'gone') throw notFound(id);
    if (ended.kind === 'ended' && ended.by !== 'cancelled') throw notRunning(id, 'has ended');
    // A worker that runs it finds the end of its log.
    await askRedis(source, () => source.removeJob(id)).catch(source.onError);
    // No reader of a detached job would tell its ingress that it has ended.
    const { keyId } = meta;
    if (keyId !== undefined) {
      await askRedis(source, () => source.release(keyId, id)).catch(source.onError);
    }
    return { id, status: 'cancelled' };
  });

  app.post<RequestRoute>('/admin/requests/:id/move', async ({ params, query, body }) => {
    knownOnly(query, []);
    const { id } = params;
    const target = readTarget(body);
    const { ended } = await find(id);
    if (ended) throw notRunning(id, 'has ended');
    const asked = await askRedis(source, () =>
      inquiries.ask('worker', { kind: 'move', id, ...(target && { target }) }),
    );
    const { from } = movedBy(asked, id);
    return { id, from: nameOf(from), target: target ? nameOf(target) : null };
  });
}

const nameOf = ({ provider, model }: Target): string => `${provider}/${model}`;

/** Undefined: the next target. */
function readTarget(body: unknown): Target | undefined {
  if (body === null || body === undefined) return undefined;
  if (typeof body !== 'object' || Array.isArray(body)) throw badField('', 'expected an object');
  const { target, ...others } = body as Record<string, unknown>;
  const [other] = Object.keys(others);
  if (other !== undefined) throw badField(other, 'unknown field; known is target');
  if (target === undefined || target === null) return undefined;
  const slash = typeof target === 'string' ? target.indexOf('/') : -1;
  if (typeof target !== 'string' || slash < 1 || slash === target.length - 1) {
    throw badField('target', 'expected provider/model');
  }
  return { provider: target.slice(0, slash), model: target.slice(slash + 1) };
}

/** What the worker that runs the request has said. Throws if it did not move it. */
function movedBy({ answers, heard }: Asked, id: string): Extract<MoveAnswer, { kind: 'moved' }> {
  const said = answers.map(({ value }) => value as MoveAnswer);
  const here = said.find(({ kind }) => kind !== 'not_here');
  switch (here?.kind) {
    case 'moved':
      return here;
    case 'unknown_target':
      throw badField('target', 'its model has no such target');
    case 'no_target':
      throw new AdminError(
        409,
        'no_other_target',
        `No other target can continue the answer of ${id} now: the others are closed to requests, or cannot go on from what was delivered.`,
      );
    case 'no_attempt':
      throw notRunning(id, 'waits for a target');
    default:
  }
  if (answers.length < heard) {
    const message = 'A worker does not answer; try again. It may carry the order out.';
    throw new AdminError(503, 'worker_silent', message);
  }
  throw notRunning(id, 'waits in the queue, or has just ended');
}

const notRunning = (id: string, why: string): AdminError =>
  new AdminError(409, 'not_running', `${id} does not run: it ${why}.`);
