import { createHash } from 'node:crypto';
import { maxMetadataBytes } from '@millrace/shared/domain/webhook';
import type { EndedJob, WebhookEvent } from '@millrace/shared/domain/webhook';
import type { Delivery } from '@millrace/shared/store/webhooks/port';
import type { Alert } from '../attention/alerts.ts';
import { idOf } from '../attention/condition.ts';

/* The messages of webhooks. An event has the same ids whenever it is made, so that it is delivered once. */

export type FleetHook = { readonly url: string; readonly events: readonly WebhookEvent[] };

const types = { done: 'job.completed', failed: 'job.failed', cancelled: 'job.cancelled' } as const;

/** The deliveries of a job's end: to its own URL, and to the fleet's. `retentionMs`: for how long its result can be read. */
export function jobDeliveries(
  { meta, end }: EndedJob,
  { fleet, retentionMs }: { fleet: FleetHook | undefined; retentionMs: number },
): Delivery[] {
  const { id, webhook } = meta;
  // A nested member of the client's metadata is no webhook.
  if (!webhook) return [];
  const event = types[end.kind];
  const data = {
    id,
    status: end.kind === 'done' ? 'completed' : end.kind,
    created_at: seconds(meta.createdAt),
    finished_at: seconds(end.data.at),
    endpoint: meta.endpoint,
    model: meta.model,
    finish_reason: end.kind === 'done' ? end.data.finishReason : null,
    attempts: end.kind === 'done' ? end.data.attempts : null,
    usage: (end.kind === 'done' && end.data.usage) || null,
    error: end.kind === 'failed' ? end.data.error : null,
    ...metadataOf(meta),
    result_url: `/v1/jobs/${id}`,
    result_expires_at: seconds(end.data.at + retentionMs),
  };
  const body = message(event, end.data.at, data);
  const own = webhook.url === undefined ? [] : [{ id: `msg_${id}`, url: webhook.url }];
  const isForFleet = fleet?.events.includes(event) === true && fleet.url !== webhook.url;
  const shared = isForFleet ? [{ id: `msg_${id}_fleet`, url: fleet.url }] : [];
  return [...own, ...shared].map((one) => ({ ...one, event, request: id, body }));
}

/** Large metadata is read with the job: thousands of messages may wait for a receiver that is down. */
function metadataOf({ metadata }: EndedJob['meta']): {
  metadata: unknown;
  metadata_omitted?: true;
} {
  if (metadata === undefined) return { metadata: null };
  const isSmall = Buffer.byteLength(JSON.stringify(metadata)) <= maxMetadataBytes;
  return isSmall ? { metadata } : { metadata: null, metadata_omitted: true };
}

export function alertDeliveries(alert: Alert, fleet: FleetHook | undefined): Delivery[] {
  const { kind, condition, firstAt, firedAt, resolvedAt } = alert;
  const event = kind === 'fired' ? 'alert.fired' : 'alert.resolved';
  if (fleet?.events.includes(event) !== true) return [];
  const { code, severity, title, detail, link } = condition;
  const data = {
    id: idOf(condition),
    code,
    severity,
    title,
    detail,
    since_at: rfc3339(firstAt),
    resolved_at: resolvedAt === undefined ? null : rfc3339(resolvedAt),
    link,
  };
  const digest = createHash('sha256').update(idOf(condition)).digest('hex').slice(0, 16);
  const id = `msg_alert_${digest}_${firedAt}_${kind}`;
  return [
    { id, event, url: fleet.url, request: null, body: message(event, resolvedAt ?? firstAt, data) },
  ];
}

const message = (type: WebhookEvent, at: number, data: object): string =>
  JSON.stringify({ type, timestamp: rfc3339(at), data });

const seconds = (ms: number): number => Math.floor(ms / 1000);
const rfc3339 = (ms: number): string => new Date(ms).toISOString();
