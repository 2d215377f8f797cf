import type { EndedJob } from '@millrace/shared/domain/webhook';
import type { Backlog } from '@millrace/shared/store/entry-queue/port';
import type {
  Attempted,
  Deliveries,
  DeliveryCounts,
  Delivery,
  EndedJobs,
} from '@millrace/shared/store/webhooks/port';
import type { Alert } from '../attention/alerts.ts';
import { startConsumer } from '../ledger/consumer.ts';
import { alertDeliveries, jobDeliveries } from './events.ts';
import type { FleetHook } from './events.ts';
import { createSender } from './send.ts';

export type WebhooksOptions = {
  config: { secret: string; allowPrivate: boolean; url?: string | undefined } & Pick<
    FleetHook,
    'events'
  >;
  endedJobs: EndedJobs;
  deliveries(attempt: (delivery: Delivery, signal: AbortSignal) => Promise<Attempted>): Deliveries;
  shards: number;
  /** Milliseconds for which the result of a job can be read. */
  retentionMs: number;
  onError(error: unknown): void;
};

export type Webhooks = {
  readonly deliveries: Deliveries;
  /** Rejects if Redis does not take the alert. */
  announce(alert: Alert): Promise<void>;
  /** Deliveries, and the ended jobs that none was made of yet. */
  state(): Promise<DeliveryCounts & { backlog: Backlog }>;
  stop(): Promise<void>;
};

/**
 * Makes deliveries of ended jobs and of alerts, and attempts them. An ended job leaves its stream when Redis has its deliveries,
 * so none is lost when this process is killed.
 */
export function startWebhooks(options: WebhooksOptions): Webhooks {
  const { config, endedJobs, shards, retentionMs, onError } = options;
  const { secret, allowPrivate, url, events } = config;
  const fleet = url === undefined ? undefined : { url, events };
  const sender = createSender({ secret, allowPrivate });
  const deliveries = options.deliveries(sender.send);
  const consumer = startConsumer<EndedJob>({
    queue: endedJobs,
    shards,
    store: (jobs) =>
      deliveries.add(jobs.flatMap((job) => jobDeliveries(job, { fleet, retentionMs }))),
    gatherMs: 50,
    onRejected: ({ meta }, error) =>
      onError(new Error(`no delivery can be made of ${meta.id}`, { cause: error })),
    onError,
  });
  return {
    deliveries,
    announce: (alert) => deliveries.add(alertDeliveries(alert, fleet)),
    async state() {
      const [counts, backlog] = await Promise.all([deliveries.counts(), endedJobs.backlog()]);
      return { ...counts, backlog };
    },
    async stop() {
      await consumer.stop();
      await deliveries.stop();
      endedJobs.close();
      await sender.close();
    },
  };
}
