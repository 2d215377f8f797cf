import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '@millrace/shared/config';
import type { Inquiries } from '@millrace/shared/store/inquiries/port';
import type { WorkerReport } from '@millrace/shared/store/reports/port';
import { maxHolds } from '@millrace/shared/store/target-holds/port';
import type { TargetHolds } from '@millrace/shared/store/target-holds/port';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { requesterOf } from '../audit/requester.ts';
import { AdminError } from './admin-error.ts';
import { knownOnly } from './parameters.ts';
import type { Query } from './parameters.ts';
import { poolsView } from './pool-view.ts';
import { askRedis } from './redis-answer.ts';
import { reportsHeld, targetViews, unknownTarget } from './upstream-view.ts';
import type { TargetView } from './upstream-view.ts';

export type UpstreamSource = {
  inquiries: Inquiries;
  /** The newest report of every registered worker, sorted by name. */
  reports(): Promise<readonly WorkerReport[]>;
  holds: TargetHolds;
  /** Of the config in use. */
  readonly models: Config['models'];
  /** Whether Redis is reachable. */
  isReady(): boolean;
  onError(error: unknown): void;
};

/** Milliseconds in which all workers should know of an order; otherwise the answer is a 202. */
const patienceMs = 3000;
/** Milliseconds between two looks: as long as the workers' reports are shared. */
const lookEveryMs = 300;

type TargetRoute = { Params: { target: string }; Querystring: Query };

/** `GET /admin/upstreams`, `POST /admin/upstreams/{target}/open` and `…/close`. */
export function upstreamRoutes(app: FastifyInstance, source: UpstreamSource): void {
  const { holds } = source;

  const ask = <T>(question: () => Promise<T>): Promise<T> => askRedis(source, question, away);

  async function look() {
    const [reports, held] = await ask(() => Promise.all([source.reports(), holds.read()]));
    return { reports, targets: targetViews({ models: source.models, reports, holds: held }) };
  }

  app.get<{ Querystring: Query }>('/admin/upstreams', async ({ query }) => {
    knownOnly(query, []);
    const [{ reports, targets }, pools] = await Promise.all([
      look(),
      ask(() => source.inquiries.ask('worker', { kind: 'pools' })),
    ]);
    return {
      targets,
      pools: poolsView(pools),
      workers: reports.map(({ name, at, sections }) => ({ name, at: at / 1000, ...sections })),
    };
  });

  for (const order of ['open', 'close'] as const) {
    app.post<TargetRoute>(`/admin/upstreams/:target/${order}`, async (request, reply) => {
      knownOnly(request.query, []);
      const { target } = request.params;
      if (order === 'open') await open(target, request);
      // A target that left the config can still be closed.
      const wasClosed = order === 'close' && (await ask(() => holds.remove(target)));
      return answer(target, { isHeld: order === 'open', wasClosed }, reply);
    });
  }

  async function open(target: string, request: FastifyRequest): Promise<void> {
    const { targets } = await look();
    if (!targets.some((one) => one.target === target)) throw notFound(target);
    const hold = { by: requesterOf(request).actor, at: Date.now() };
    if ((await ask(() => holds.add(target, hold))) !== 'full') return;
    const message = `${maxHolds} targets are open by operators' orders already: close some of them.`;
    throw new AdminError(409, 'too_many_open', message);
  }

  /** Waits until each worker knows of the order. `wasClosed`: the order has ended a hold. */
  async function answer(
    target: string,
    { isHeld, wasClosed }: { isHeld: boolean; wasClosed: boolean },
    reply: FastifyReply,
  ): Promise<TargetView> {
    const until = performance.now() + patienceMs;
    for (;;) {
      const { reports, targets } = await look();
      const known = targets.find((one) => one.target === target);
      if (!known && !wasClosed) throw notFound(target);
      const view = known ?? unknownTarget(target);
      const isDone = reports.every((report) => reportsHeld(report, target) === isHeld);
      if (!isDone && performance.now() < until) {
        await sleep(lookEveryMs);
        continue;
      }
      if (!isDone) reply.code(202);
      return view;
    }
  }
}

const notFound = (target: string): AdminError =>
  new AdminError(
    404,
    'target_not_found',
    `No model of the config has the target '${target.slice(0, 200)}', and no operator has opened it. GET /admin/upstreams lists them, as provider/model; in a path, write the slash as %2F.`,
  );

const away = {
  code: 'queue_unavailable',
  message:
    'Redis does not answer; try again. An order may have been given: GET /admin/upstreams shows it.',
};
